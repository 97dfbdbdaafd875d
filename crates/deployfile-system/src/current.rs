//! The current link: read, moved, taken away.

use crate::disk_failure as disk;
use deployfile_disk::{Dir, Kind};
use deployfile_model::spec::App;
use deployfile_model::{HostPath, Name, RelPath, ReleaseId};
use deployfile_record::observation::CurrentLink;
use deployfile_record::{Failure, ReleaseRecord};

/// What the link is now.
pub fn read(root: &Dir, layout_root: &HostPath, current: &Name) -> Result<CurrentLink, Failure> {
    let link = link_path(current)?;
    match root.stat(&link).map_err(|e| disk(&e))? {
        None => return Ok(CurrentLink::Absent),
        Some(stat) if stat.kind != Kind::Symlink => return Ok(CurrentLink::NotALink),
        Some(_) => {}
    }
    let target = root.read_link(&link).map_err(|e| disk(&e))?.unwrap_or_default();
    let target = target.to_string_lossy();
    let beneath =
        target.strip_prefix(layout_root.as_str()).map_or(&*target, |rest| rest.trim_start_matches('/'));
    let id = beneath.strip_prefix(App::RELEASES).and_then(|rest| rest.strip_prefix('/'));
    match id.and_then(|id| ReleaseId::new(id.trim_end_matches('/')).ok()) {
        Some(id) => Ok(CurrentLink::Release(id)),
        None => Ok(CurrentLink::Foreign(target.into_owned())),
    }
}

/// Makes the link name a sealed release: a new link beside it, renamed over it, the directory synced, read back.
/// `None` takes it away by a rename, never by an unlink.
pub fn ensure(
    root: &Dir,
    layout_root: &HostPath,
    current: &Name,
    release: Option<&ReleaseId>,
) -> Result<(), Failure> {
    let link = link_path(current)?;
    let now = read(root, layout_root, current)?;
    if now == CurrentLink::NotALink {
        let message = format!("{layout_root}/{current} is a real directory or file, not a link");
        return Err(Failure::refused("switch::not-a-link", message).help(format!(
            "move it away, for example: mv {layout_root}/{current} {layout_root}/{current}.before"
        )));
    }
    match release {
        None if now == CurrentLink::Absent => Ok(()),
        None => root.rename_to_trash(&link).map(|_| ()).map_err(|e| disk(&e)),
        Some(id) => {
            refuse_unsealed(root, id)?;
            root.replace_symlink(&link, &format!("{}/{id}", App::RELEASES)).map_err(|e| disk(&e))?;
            match read(root, layout_root, current)? {
                CurrentLink::Release(back) if back == *id => Ok(()),
                other => {
                    let message =
                        format!("{layout_root}/{current} should name {id}, it reads back as {other:?}");
                    Err(Failure::new("switch::read-back", message).help("see who else writes there"))
                }
            }
        }
    }
}

/// A release is complete exactly when it is sealed; nothing else may be switched to.
fn refuse_unsealed(root: &Dir, id: &ReleaseId) -> Result<(), Failure> {
    let manifest = RelPath::new(format!("{}/{id}/{}", App::RELEASES, ReleaseRecord::PATH));
    let manifest = manifest.map_err(|e| Failure::new("bug::path", e.to_string()))?;
    match root.stat(&manifest).map_err(|e| disk(&e))? {
        Some(stat) if stat.kind == Kind::File => Ok(()),
        _ => Err(Failure::new("switch::unsealed", format!("release {id} is not sealed"))
            .help("deployfile releases says what there is")),
    }
}

fn link_path(current: &Name) -> Result<RelPath, Failure> {
    RelPath::new(current.as_str()).map_err(|e| Failure::new("bug::path", e.to_string()))
}
