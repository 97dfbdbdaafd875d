//! Where a root keeps the components that its plans call: `.deployfile/plugins/<hex>.wasm`, by digest, so that a run
//! can be resumed and rolled back without the deployfile.

use super::SIZE_MAX;
use deployfile_disk::Dir;
use deployfile_model::{Digest, Name, RelPath};
use deployfile_record::Failure;

/// Where the component of this digest is kept, beneath the root.
pub fn path(component: &Digest) -> RelPath {
    let path = format!(".deployfile/plugins/{}.wasm", component.hex());
    RelPath::new(path).unwrap_or_else(|_| unreachable!("hexadecimal digits are a name"))
}

/// Reads a component and holds it against its digest.
pub(crate) fn read(root: &Dir, plugin: &Name, component: &Digest) -> Result<Vec<u8>, Failure> {
    let rel = path(component);
    let shown = format!("{}/{rel}", root.path_for_display());
    let bytes = root.read(&rel, SIZE_MAX).map_err(|error| {
        let failure = Failure::from_error("hook::component", &error);
        Failure {
            message: format!("cannot read the component of plugin `{plugin}`: {}", failure.message),
            ..failure
        }
    })?;
    let found = Digest::of(&bytes);
    if found != *component {
        let message = format!(
            "component of plugin `{plugin}` is not the pinned one: {shown} has {found}, wanted {component}"
        );
        return Err(Failure::refused("hook::digest", message)
            .help("the file was changed after it was stored: remove it and apply again; `deployfile.lock` names the digest"));
    }
    Ok(bytes)
}
