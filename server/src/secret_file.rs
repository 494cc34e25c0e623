//! Small secrets in the state directory: made once, the owner's only, whole or not there.

use std::fs;
use std::io;
use std::path::Path;

use fwdrill_depot::{FileError, write_if_absent};

/// What the file says, if there is one.
pub(crate) fn load(path: &Path) -> Result<Option<String>, FileError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed("read", path, source)),
    }
}

/// Writes the file, mode 0600. Of two that make it at once the first stays, and the other fails.
pub(crate) fn make(path: &Path, text: &str) -> Result<(), FileError> {
    match write_if_absent(path, format!("{text}\n").as_bytes(), 0o600)? {
        true => Ok(()),
        false => Err(failed("write", path, io::ErrorKind::AlreadyExists.into())),
    }
}

/// What the file says; without one it is made.
pub(crate) fn load_or_make(path: &Path, text: impl FnOnce() -> String) -> Result<String, FileError> {
    if let Some(text) = load(path)?.filter(|text| !text.is_empty()) {
        return Ok(text);
    }
    let text = text();
    make(path, &text)?;
    Ok(text)
}

/// 256 random bits in hexadecimal.
pub(crate) fn random() -> String {
    format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>())
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> FileError {
    FileError {
        operation,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_is_the_owners() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        assert_eq!(load_or_make(&path, || "one".to_owned()).unwrap(), "one");
        assert_eq!(load_or_make(&path, || "other".to_owned()).unwrap(), "one");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(make(&path, "third").is_err(), "nothing is overwritten");
    }
}
