//! Small secrets in the state directory: made once, the owner's only, whole or not there.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::ConsoleError;

/// What the file says, if there is one.
pub(super) fn load(path: &Path) -> Result<Option<String>, ConsoleError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed("read", path, source)),
    }
}

/// Writes the file, mode 0600; it appears when it is whole. Of two that make it at once the first stays.
pub(super) fn make(path: &Path, text: &str) -> Result<(), ConsoleError> {
    let written = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
        writeln!(file, "{text}")?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        Ok(())
    };
    written().map_err(|source| failed("write", path, source))
}

/// What the file says; without one it is made.
pub(super) fn load_or_make(path: &Path, text: impl FnOnce() -> String) -> Result<String, ConsoleError> {
    if let Some(text) = load(path)?.filter(|text| !text.is_empty()) {
        return Ok(text);
    }
    let text = text();
    make(path, &text)?;
    Ok(text)
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> ConsoleError {
    ConsoleError::File {
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
