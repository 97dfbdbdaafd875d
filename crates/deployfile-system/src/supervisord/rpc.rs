//! XML-RPC as supervisord speaks it: calls with texts, numbers and booleans, answers of any shape.

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::{BytesRef, Event};
use std::collections::BTreeMap;

/// Elements within elements; supervisord's deepest answer has 13.
const DEPTH_MAX: usize = 32;

/// A parameter of a call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Param<'a> {
    Text(&'a str),
    Int(i64),
    Bool(bool),
}

/// A value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Int(i64),
    Bool(bool),
    List(Vec<Value>),
    Struct(BTreeMap<String, Value>),
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Value(Value),
    Fault { code: i64, text: String },
}

impl Value {
    pub(super) fn text(&self) -> &str {
        match self {
            Value::Text(text) => text,
            _ => "",
        }
    }
    pub(super) fn int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }
    pub(super) fn list(&self) -> &[Value] {
        match self {
            Value::List(list) => list,
            _ => &[],
        }
    }
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Struct(members) => members.get(key),
            _ => None,
        }
    }
}

/// The body of a call.
pub(super) fn call(method: &str, params: &[Param<'_>]) -> String {
    let params: String = params
        .iter()
        .map(|param| match param {
            Param::Text(text) => format!("<string>{}</string>", escape(*text)),
            Param::Int(number) => format!("<int>{number}</int>"),
            Param::Bool(value) => format!("<boolean>{}</boolean>", u8::from(*value)),
        })
        .map(|value| format!("<param><value>{value}</value></param>"))
        .collect();
    let method = escape(method);
    format!(
        "<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>"
    )
}

/// Reads the body of an answer; `Err` says what is wrong with it.
pub(super) fn answer(text: &str) -> Result<Answer, String> {
    let mut reader = Reader::from_str(text);
    let root = loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(start) if start.name().as_ref() == "methodResponse" => {
                break element(&mut reader, "methodResponse".to_owned(), 0)?;
            }
            Event::Decl(_) | Event::Comment(_) | Event::Text(_) => {}
            _ => return Err("it is not an XML-RPC answer".to_owned()),
        }
    };
    if let Some(fault) = root.child("fault") {
        let value = value(fault.child("value").ok_or("a fault without a value")?)?;
        let code = value.get("faultCode").and_then(Value::int).ok_or("a fault without a code")?;
        let text = value.get("faultString").map(Value::text).unwrap_or_default().to_owned();
        return Ok(Answer::Fault { code, text });
    }
    let found = root.child("params").and_then(|p| p.child("param")).and_then(|p| p.child("value"));
    Ok(Answer::Value(value(found.ok_or("an answer without a value")?)?))
}

/// An element with what is in it.
struct Node {
    name: String,
    text: String,
    children: Vec<Node>,
}

impl Node {
    fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.name == name)
    }
}

fn element(reader: &mut Reader<&[u8]>, name: String, depth: usize) -> Result<Node, String> {
    if depth > DEPTH_MAX {
        return Err(format!("more than {DEPTH_MAX} elements within each other"));
    }
    let mut node = Node { name, text: String::new(), children: Vec::new() };
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(start) => {
                let name = start.name().as_ref().to_owned();
                node.children.push(element(reader, name, depth + 1)?);
            }
            Event::Empty(empty) => {
                let name = empty.name().as_ref().to_owned();
                node.children.push(Node { name, text: String::new(), children: Vec::new() });
            }
            Event::End(_) => return Ok(node),
            Event::Text(text) => node.text.push_str(&text.xml10_content()),
            Event::CData(text) => node.text.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => node.text.push(character(&reference)?),
            Event::Eof => return Err("it ends in the middle".to_owned()),
            _ => {}
        }
    }
}

fn character(reference: &BytesRef<'_>) -> Result<char, String> {
    if let Some(character) = reference.resolve_char_ref().map_err(|error| error.to_string())? {
        return Ok(character);
    }
    match &*reference.xml10_content() {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        other => Err(format!("unknown entity `{}`", other.escape_debug())),
    }
}

fn value(node: &Node) -> Result<Value, String> {
    let Some(typed) = node.children.first() else { return Ok(Value::Text(node.text.clone())) };
    let number =
        || typed.text.trim().parse().map_err(|_| format!("`{}` is not a number", typed.text.escape_debug()));
    match typed.name.as_str() {
        "int" | "i4" | "i8" => Ok(Value::Int(number()?)),
        "boolean" => Ok(Value::Bool(number()? != 0)),
        "array" => {
            let data = typed.child("data").ok_or("an array without data")?;
            Ok(Value::List(data.children.iter().map(value).collect::<Result<_, _>>()?))
        }
        "struct" => {
            let member = |member: &Node| {
                let name = member.child("name").ok_or("a member without a name")?.text.clone();
                Ok((name, value(member.child("value").ok_or("a member without a value")?)?))
            };
            Ok(Value::Struct(typed.children.iter().map(member).collect::<Result<_, String>>()?))
        }
        // Every other type that supervisord sends (string, double, dateTime) is kept as it is written.
        _ => Ok(Value::Text(typed.text.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(xml: &str) -> Result<Answer, String> {
        answer(&format!(
            "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value>{xml}</value>\n</param></params></methodResponse>"
        ))
    }

    #[test]
    fn values_of_all_shapes() {
        let xml = "<struct><member><name>a</name><value><array><data>\n<value><int>-7</int></value>\
            <value><boolean>1</boolean></value><value>bare &lt;&#65;&amp;</value><value><string/></value>\
            </data></array></value></member></struct>";
        let list = Value::List(vec![
            Value::Int(-7),
            Value::Bool(true),
            Value::Text("bare <A&".into()),
            Value::Text(String::new()),
        ]);
        let expected = Value::Struct([("a".to_owned(), list)].into());
        assert_eq!(value_of(xml).unwrap(), Answer::Value(expected));
    }

    #[test]
    fn faults() {
        let xml = "<methodResponse><fault><value><struct>\
            <member><name>faultCode</name><value><int>10</int></value></member>\
            <member><name>faultString</name><value><string>BAD_NAME: x</string></value></member>\
            </struct></value></fault></methodResponse>";
        assert_eq!(answer(xml).unwrap(), Answer::Fault { code: 10, text: "BAD_NAME: x".into() });
    }

    #[test]
    fn damaged_answers_are_refused() {
        let deep = "<value><array><data>".repeat(1000);
        for bad in [
            "",
            "<html></html>",
            "nonsense",
            "<methodResponse>",
            "<methodResponse></methodResponse>",
            "<methodResponse><params></methodResponse>",
            "<methodResponse><fault></fault></methodResponse>",
            &format!("<methodResponse>{deep}"),
        ] {
            assert!(answer(bad).is_err(), "{bad}");
        }
        for bad in ["<int>x</int>", "<array/>", "<struct><member/></struct>", "&nope;"] {
            assert!(value_of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parameters_are_quoted() {
        let body = call("m", &[Param::Text("a<&\">"), Param::Int(-1), Param::Bool(true)]);
        assert!(body.contains("<string>a&lt;&amp;&quot;&gt;</string>"), "{body}");
        assert!(body.contains("<int>-1</int>") && body.contains("<boolean>1</boolean>"), "{body}");
    }
}
