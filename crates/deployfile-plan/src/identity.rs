//! Digests that stay equal when nothing of substance changed.

use crate::{Request, make};
use deployfile_model::units::UnixTime;
use deployfile_model::{Digest, ReleaseId, Spec};
use deployfile_record::Plan;
use serde_json::Value;

/// The digest of a specification, without the places of its settings: a comment or a moved line is no change.
pub fn spec_digest(spec: &Spec) -> Digest {
    let mut value = serde_json::to_value(spec).unwrap_or(Value::Null);
    drop_places(&mut value);
    Digest::of(value.to_string().as_bytes())
}

fn drop_places(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("place");
            map.values_mut().for_each(drop_places);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_places),
        _ => {}
    }
}

/// The digest of the same plan made at the epoch under a fixed release id. So two plans of one input are equal to
/// people and programs although a minute lies between them, and a plan that was reviewed is recognised when it runs.
pub(crate) fn of(request: &Request<'_>, plan: &Plan) -> Digest {
    let timeless = Request { at: UnixTime(0), wish: request.wish.clone(), ..*request };
    let pinned = ReleaseId::new("release").ok();
    let same = make(&timeless, pinned.as_ref()).unwrap_or_else(|_| plan.clone());
    Digest::of(&same.to_bytes())
}
