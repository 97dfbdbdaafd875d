//! One rule for all settings: a line replaces a line, a block merges with a block, a repeated node adds.
//!
//! Layers are laid over one another in any order; nothing is decided until [`Block::settle`], so a merged base can be
//! cloned and overlaid for one host without merging everything again. All definitions are kept: they are the provenance.
//! How a service takes over another is [`inherit`].

mod inherit;

use crate::diagnostic::Findings;
use crate::schema::{BlockKind, NodeSpec, Several, schema};
use crate::sources::At;
use crate::tree::{Node, Value};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Where a definition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Scope<'p> {
    pub(crate) environment: Option<&'p str>,
    pub(crate) role: Option<&'p str>,
    /// The host as it was written.
    pub(crate) host: Option<&'p str>,
    /// A condition is a range or a glob, which an exact name beats.
    pub(crate) loose: bool,
    /// Through how many `use`s it came here.
    pub(crate) used: u8,
    /// The profile in which it stands.
    pub(crate) profile: Option<&'p str>,
    /// The service from which another took it over.
    pub(crate) base: Option<&'p str>,
    /// `--set`.
    pub(crate) command_line: bool,
}

impl Scope<'_> {
    /// host 4 + role 2 + environment 1
    pub(crate) fn conditions(&self) -> u8 {
        4 * u8::from(self.host.is_some())
            + 2 * u8::from(self.role.is_some())
            + u8::from(self.environment.is_some())
    }

    /// The order of what repeats (rule 3), which is not the order of strength (rule 5): what is used before what uses it, then
    /// top level, role, environment, role in it, ranges of hosts, hosts.
    fn rank(&self) -> (Reverse<u8>, u8) {
        let place = match (self.host, self.environment, self.role) {
            (Some(_), ..) => 4 + u8::from(!self.loose),
            (None, environment, role) => 2 * u8::from(environment.is_some()) + u8::from(role.is_some()),
        };
        (Reverse(self.used), place)
    }

    /// `top level`, `role web`, `environment production, profile live`, …
    pub(crate) fn describe(&self) -> String {
        if self.command_line {
            return "command line".to_owned();
        }
        let named = |word: &str, name: Option<&str>| name.map(|n| format!("{word} {n}"));
        let conditions =
            [named("host", self.host), named("role", self.role), named("environment", self.environment)];
        let mut parts: Vec<_> = conditions.into_iter().flatten().collect();
        if parts.is_empty() {
            parts.push("top level".to_owned());
        }
        parts.extend(named("profile", self.profile));
        parts.extend(named("service", self.base));
        parts.join(", ")
    }
}

/// What decides between two definitions; greater wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Strength {
    /// 0 `(default)`, 1 plain, 2 `(force)`, 3 command line.
    marker: u8,
    conditions: u8,
    exact: bool,
    /// What stands there beats what is `use`d.
    near: Reverse<u8>,
}

/// A node that takes part in a setting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Definition<'p> {
    pub(crate) node: &'p Node,
    /// The block in which the node stands, by the place of its name; `None` at the top of a scope.
    parent: Option<At>,
    pub(crate) scope: Scope<'p>,
    pub(crate) strength: Strength,
}

/// A merged block.
#[derive(Debug, Clone, Default)]
pub(crate) struct Block<'p> {
    /// By name and, for named settings, first argument.
    pub(crate) settings: BTreeMap<(&'p str, &'p str), Setting<'p>>,
    /// What repeats; after [`Block::settle`] in order: weakest scope first, then order of text.
    pub(crate) items: Vec<Definition<'p>>,
    /// For provenance, once settled. Boxed, as few blocks have any.
    gone: Option<Box<GoneFromBlock<'p>>>,
}

#[derive(Debug, Clone, Default)]
struct GoneFromBlock<'p> {
    /// Settings of which a `(remove)` left nothing.
    removed: BTreeMap<(&'p str, &'p str), Setting<'p>>,
    /// What repeated before an `(only)`.
    replaced: Vec<Definition<'p>>,
}

/// One setting with everything that was said about it.
#[derive(Debug, Clone)]
pub(crate) struct Setting<'p> {
    pub(crate) spec: &'static NodeSpec,
    /// Those that set its line; after [`Block::settle`] the removed ones are gone.
    pub(crate) lines: Vec<Definition<'p>>,
    /// Those that only open its block.
    pub(crate) mentions: Vec<Definition<'p>>,
    removals: Vec<Definition<'p>>,
    pub(crate) block: Block<'p>,
    /// For provenance, once settled.
    pub(crate) gone: Option<Box<Gone<'p>>>,
}

/// What a `(remove)` took away.
#[derive(Debug, Clone)]
pub(crate) struct Gone<'p> {
    /// The strongest, of the setting or of what it stands in.
    pub(crate) removal: Definition<'p>,
    pub(crate) lines: Vec<Definition<'p>>,
}

/// What a layer's nodes inherit.
#[derive(Clone, Copy)]
struct Context<'p> {
    scope: Scope<'p>,
    marker: u8,
    parent: Option<At>,
}

impl<'p> Block<'p> {
    /// Lays `nodes`, which stand in a block of `parent`, over this block.
    pub(crate) fn apply(
        &mut self,
        parent: &'static str,
        nodes: impl Iterator<Item = &'p Node>,
        scope: Scope<'p>,
    ) {
        let marker = if scope.command_line { 3 } else { 1 };
        self.lay(
            &|node| schema().find(parent, &node.name.text),
            nodes,
            Context { scope, marker, parent: None },
        );
    }

    fn lay(
        &mut self,
        spec_of: &dyn Fn(&Node) -> Option<&'static NodeSpec>,
        nodes: impl Iterator<Item = &'p Node>,
        context: Context<'p>,
    ) {
        for node in nodes {
            let Some(spec) = spec_of(node).filter(|_| !node.bad) else { continue };
            let context = context.marked(node);
            let definition = context.define(node);
            if spec.several == Several::Repeats {
                self.items.push(definition);
                continue;
            }
            let id =
                if spec.identity() > 0 { node.args.first().and_then(Value::text).unwrap_or("") } else { "" };
            let setting = self.settings.entry((&node.name.text, id)).or_insert_with(|| Setting::new(spec));
            setting.take(definition, context);
        }
    }

    /// Takes the settings of these names out, undecided.
    pub(crate) fn split_off(&mut self, names: &[&str]) -> Self {
        let (out, rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.settings).into_iter().partition(|((name, _), _)| names.contains(name));
        self.settings = rest;
        Self { settings: out, ..Self::default() }
    }

    /// Decides: puts what repeats in order, drops what was removed, and says which values are tied.
    pub(crate) fn settle(&mut self, path: &str, findings: &mut Findings<'_>) {
        self.items.sort_by_key(|item| item.scope.rank());
        self.drop_what_only_replaces();
        let gone = self.settings.extract_if(.., |(name, id), setting| {
            let path = join(path, name, id);
            setting.remove(&path, findings);
            setting.conflict(&path, findings);
            setting.block.settle(&path, findings);
            setting.says_nothing()
        });
        let gone: BTreeMap<_, _> = gone.filter(|(_, setting)| setting.gone.is_some()).collect();
        if !gone.is_empty() {
            self.gone.get_or_insert_default().removed.extend(gone);
        }
    }

    /// `(only)` drops what was repeated before.
    fn drop_what_only_replaces(&mut self) {
        let name = |item: &Definition<'p>| item.node.name.text.as_str();
        let mut last: BTreeMap<&str, usize> = BTreeMap::new();
        let only = self.items.iter().enumerate().filter(|(_, item)| item.has_marker("only"));
        last.extend(only.map(|(n, item)| (name(item), n)));
        if !last.is_empty() {
            let mut n = 0..;
            let replaced = self.items.extract_if(.., |item| n.next() < last.get(name(item)).copied());
            self.gone.get_or_insert_default().replaced.extend(replaced);
        }
    }

    fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.items.is_empty()
    }

    /// For provenance: settings of which a `(remove)` left nothing.
    pub(crate) fn removed(&self) -> impl Iterator<Item = (&(&'p str, &'p str), &Setting<'p>)> {
        self.gone.iter().flat_map(|gone| &gone.removed)
    }

    /// For provenance: what repeated before an `(only)`.
    pub(crate) fn replaced(&self) -> &[Definition<'p>] {
        self.gone.as_ref().map_or(&[], |gone| &gone.replaced)
    }

    pub(crate) fn get(&self, name: &'static str) -> Option<&Setting<'p>> {
        self.settings.get(&(name, ""))
    }

    /// The settings of one name, by their first argument.
    pub(crate) fn named<'b>(&'b self, name: &'b str) -> impl Iterator<Item = (&'p str, &'b Setting<'p>)> {
        self.settings.iter().filter(move |((n, _), _)| *n == name).map(|((_, id), setting)| (*id, setting))
    }

    /// The repeated nodes of one name, in order.
    pub(crate) fn items<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'p Node> + 'b {
        self.items.iter().map(|item| item.node).filter(move |node| node.name.text == name)
    }

    /// Drops what is weaker than a removal of what this stands in.
    fn drop_weaker(&mut self, removal: Definition<'p>) {
        self.items.retain(|item| item.strength >= removal.strength);
        for setting in self.settings.values_mut() {
            setting.drop_weaker(removal);
        }
    }
}

/// The path of a setting, as `explain` takes it. There is one `app`, so its name is left out.
pub(crate) fn join(path: &str, name: &str, id: &str) -> String {
    [path, name, if name == "app" { "" } else { id }]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(".")
}

impl<'p> Context<'p> {
    /// Marked as the node says; a node without a marker takes that of the block in which it stands.
    fn marked(self, node: &Node) -> Self {
        let marker = match node.marker.as_ref().map(|m| m.text.as_str()) {
            Some("default") => 0,
            Some("force") => 2,
            _ => self.marker,
        };
        Self { marker, ..self }
    }

    fn define(self, node: &'p Node) -> Definition<'p> {
        let strength = Strength {
            marker: self.marker,
            conditions: self.scope.conditions(),
            exact: !self.scope.loose,
            near: Reverse(self.scope.used),
        };
        Definition { node, parent: self.parent, scope: self.scope, strength }
    }
}

impl Definition<'_> {
    pub(crate) fn has_marker(&self, marker: &str) -> bool {
        self.node.marker.as_ref().is_some_and(|m| m.text == marker)
    }

    pub(crate) fn at(&self) -> At {
        self.node.name.at
    }
}

impl<'p> Setting<'p> {
    fn new(spec: &'static NodeSpec) -> Self {
        Self {
            spec,
            lines: Vec::new(),
            mentions: Vec::new(),
            removals: Vec::new(),
            block: Block::default(),
            gone: None,
        }
    }

    fn take(&mut self, definition: Definition<'p>, context: Context<'p>) {
        let node = definition.node;
        if definition.has_marker("remove") {
            self.removals.push(definition);
            return;
        }
        let has_value = node.args.len() > self.spec.identity() || !node.props.is_empty();
        let sets_line = has_value || self.spec.is_flag() || self.spec.name == "*";
        if sets_line {
            self.lines.push(definition);
        } else {
            self.mentions.push(definition);
        }
        let children = node.children().iter();
        let context = Context { parent: Some(definition.at()), ..context };
        match self.spec.block {
            BlockKind::Settings => {
                let parent = self.spec.name;
                self.block.lay(&|node| schema().find(parent, &node.name.text), children, context);
            }
            BlockKind::Free(entry) => self.block.lay(&|_| Some(entry), children, context),
            BlockKind::Json => self.block.lay(&|_| Some(&JSON_KEY), children, context),
            BlockKind::None => {}
        }
    }

    fn remove(&mut self, path: &str, findings: &mut Findings<'_>) {
        let Some(removal) = self.removals.iter().max_by_key(|d| d.strength).copied() else { return };
        let tied = self.lines.iter().chain(&self.mentions).find(|d| d.strength == removal.strength);
        if let Some(tied) = tied {
            let related = findings.related(tied.at(), tied.scope.describe());
            findings
                .error(
                    "config::conflict",
                    removal.at(),
                    format!("{path} is removed and set with the same strength"),
                )
                .label(removal.scope.describe())
                .help("delete one, or mark the one that stays `(force)`")
                .related
                .push(related);
        }
        self.drop_weaker(removal);
    }

    fn drop_weaker(&mut self, removal: Definition<'p>) {
        let is_weaker = |d: &mut Definition<'p>| d.strength < removal.strength;
        let lines = self.lines.extract_if(.., is_weaker).chain(self.mentions.extract_if(.., is_weaker));
        let lines: Vec<_> = lines.collect();
        if !lines.is_empty() {
            let gone = self.gone.get_or_insert_with(|| Box::new(Gone { removal, lines: Vec::new() }));
            gone.lines.extend(lines);
            if gone.removal.strength < removal.strength {
                gone.removal = removal;
            }
        }
        self.block.drop_weaker(removal);
    }

    fn says_nothing(&self) -> bool {
        self.lines.is_empty() && self.mentions.is_empty() && self.block.is_empty()
    }

    fn conflict(&self, path: &str, findings: &mut Findings<'_>) {
        let Some(winner) = self.winner() else { return };
        let rival = self.plain_lines().find(|d| d.strength == winner.strength && !self.agree(d, winner));
        let Some(rival) = rival else { return };
        let (first, second) = if rival.at() < winner.at() { (rival, winner) } else { (winner, rival) };
        let say = |d: &Definition<'_>| format!("{}  {}", self.show(d.node), d.scope.describe());
        let related = findings.related(second.at(), say(second));
        findings
            .error("config::conflict", first.at(), format!("{path} has two values of the same strength"))
            .label(say(first))
            .help("delete one, or mark one (default) or (force)")
            .related
            .push(related);
    }

    fn plain_lines(&self) -> impl Iterator<Item = &Definition<'p>> {
        self.lines.iter().filter(|d| !d.has_marker("add"))
    }

    /// The definition whose line holds; of tied ones the first.
    pub(crate) fn winner(&self) -> Option<&Definition<'p>> {
        strongest(self.plain_lines())
    }

    /// The node whose line holds.
    pub(crate) fn line(&self) -> Option<&'p Node> {
        self.winner().map(|d| d.node)
    }

    /// The same without what the command line says.
    pub(crate) fn line_of_the_file(&self) -> Option<&'p Node> {
        strongest(self.plain_lines().filter(|d| !d.scope.command_line)).map(|d| d.node)
    }

    /// The arguments that hold: those of the winner and, for lists, those of `(add)` at its strength or above.
    pub(crate) fn arguments(&self) -> Vec<&'p Value> {
        let skip = self.spec.identity();
        let winner = self.winner();
        let least = winner.map(|w| w.strength);
        let mut added: Vec<_> =
            self.lines.iter().filter(|d| d.has_marker("add") && Some(d.strength) >= least).collect();
        added.sort_by_key(|d| d.scope.rank());
        winner.into_iter().chain(added).flat_map(|d| d.node.args.iter().skip(skip)).collect()
    }

    /// An `(add)` that is part of the value.
    pub(crate) fn holds(&self, d: &Definition<'_>) -> bool {
        d.has_marker("add") && self.winner().is_none_or(|winner| d.strength >= winner.strength)
    }

    /// Where it comes in the order of what repeats, for settings whose order means something.
    pub(crate) fn order(&self) -> Option<impl Ord + use<>> {
        let all = self.lines.iter().chain(&self.mentions);
        all.map(|d| (d.scope.rank(), d.at())).min()
    }

    /// Where it is declared: the definition with the fewest conditions that was not taken over, of several the first.
    pub(crate) fn at(&self) -> Option<At> {
        let all = self.lines.iter().chain(&self.mentions);
        all.min_by_key(|d| (d.scope.used, d.scope.conditions(), d.at())).map(|d| d.at())
    }

    /// Two definitions of the same strength that do not fight. Keys of JSON that repeat in one block are an array.
    fn agree(&self, a: &Definition<'_>, b: &Definition<'_>) -> bool {
        let one_array = self.spec.args.is_empty() && self.spec.free_props && a.parent == b.parent;
        one_array || same_line(a.node, b.node)
    }

    /// The nodes that make up the value of a key of JSON: the winner and those that repeat it in its block.
    pub(crate) fn array(&self) -> Vec<&'p Node> {
        let Some(winner) = self.winner() else { return Vec::new() };
        let same = |d: &&Definition<'p>| d.strength == winner.strength && d.parent == winner.parent;
        self.plain_lines().filter(same).map(|d| d.node).collect()
    }

    /// The value of a definition, for display.
    pub(crate) fn show(&self, node: &Node) -> String {
        let args = node.args.iter().skip(self.spec.identity()).map(Value::show);
        let props = node.props.iter().map(|(key, value)| format!("{}={}", key.text, value.show()));
        let parts: Vec<_> = args.chain(props).collect();
        if parts.is_empty() { "#true".to_owned() } else { parts.join(" ") }
    }
}

/// The first of the strongest.
fn strongest<'d, 'p>(definitions: impl Iterator<Item = &'d Definition<'p>>) -> Option<&'d Definition<'p>> {
    definitions.reduce(|best, d| if d.strength > best.strength { d } else { best })
}

/// A key of `config`: its whole subtree is its value.
const JSON_KEY: NodeSpec = NodeSpec {
    name: "*",
    parents: &[],
    several: Several::One,
    args: &[],
    props: &[],
    free_props: true,
    block: BlockKind::None,
    default: "",
    doc: "",
    example: "",
    built: true,
};

/// Two nodes say the same, wherever they were written.
fn same_line(a: &Node, b: &Node) -> bool {
    let props = |node: &Node| {
        let mut props: Vec<_> = node.props.iter().map(|(k, v)| (k.text.clone(), v.show())).collect();
        props.sort();
        props
    };
    let children = |n: &Node| n.children().len();
    a.name.text == b.name.text
        && a.args.len() == b.args.len()
        && a.args.iter().zip(&b.args).all(|(x, y)| x.same(y))
        && props(a) == props(b)
        && children(a) == children(b)
        && a.children().iter().zip(b.children()).all(|(x, y)| same_line(x, y))
}
