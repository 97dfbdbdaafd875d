//! The file that takes a service out of traffic: moved aside before a stop, moved back when it runs again.
//!
//! It is moved and not removed, so that it comes back with its content.

use crate::layout::rel;
use crate::place::{self, Place};
use deployfile_disk::DiskError;
use deployfile_model::{HostPath, RelPath};

fn aside(place: &Place) -> Result<RelPath, DiskError> {
    rel(format!("{}.drained", place.name))
}

/// Takes the file away. It is no error when it is not there.
pub(crate) fn take_away(file: &HostPath) -> Result<(), DiskError> {
    let place = place::open(file.as_str())?;
    match place.dir.rename(&place.name, &aside(&place)?) {
        Err(error) if error.is_not_found() => Ok(()),
        done => done,
    }
}

/// Puts the file back where [`take_away`] found it; does nothing when there is nothing to put back, or a new one stands
/// there.
pub(crate) fn put_back(file: &HostPath) -> Result<(), DiskError> {
    let place = place::open(file.as_str())?;
    let aside = aside(&place)?;
    match place.dir.rename_new(&aside, &place.name) {
        Err(error) if error.is_exists() => place.dir.remove_file(&aside).map(drop),
        Err(error) if error.is_not_found() => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_comes_back_with_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("alive");
        let file = HostPath::new(path.to_str().unwrap()).unwrap();
        std::fs::write(&path, "yes\n").unwrap();
        take_away(&file).unwrap();
        assert!(!path.exists());
        take_away(&file).unwrap();
        put_back(&file).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "yes\n");
        put_back(&file).unwrap();
    }

    #[test]
    fn a_new_file_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("alive");
        let file = HostPath::new(path.to_str().unwrap()).unwrap();
        std::fs::write(&path, "old").unwrap();
        take_away(&file).unwrap();
        std::fs::write(&path, "new").unwrap();
        put_back(&file).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
