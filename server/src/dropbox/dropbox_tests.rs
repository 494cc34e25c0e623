use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;

const LIMITS: DropBoxLimits = DropBoxLimits {
    file_bytes: 1_000,
    client_bytes: 2_000,
    client_files: 3,
    clients: 2,
};

fn dropbox() -> (TempDir, Arc<DropBox>) {
    let directory = tempfile::tempdir().unwrap();
    let dropbox = DropBox::open(&directory.path().join("dropbox"), LIMITS).unwrap();
    (directory, dropbox)
}

/// Every file and directory below, by path, with its contents.
fn contents(directory: &Path) -> Vec<(String, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut open = vec![directory.join("dropbox")];
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
            let bytes = path.is_file().then(|| fs::read(&path).unwrap());
            found.push((name, bytes));
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

fn drop_file(dropbox: &Arc<DropBox>, client: &str, file: &str, bytes: &[u8]) -> Result<u64, UploadError> {
    let mut upload = dropbox.upload(client, file, Placement::Replace)?;
    upload.write(bytes)?;
    upload.finish()
}

#[test]
fn an_upload_appears_whole_and_not_before_its_end() {
    let (directory, dropbox) = dropbox();
    let mut upload = dropbox.upload("pc-017", "mwav.log", Placement::Replace).unwrap();
    upload.write(b"first ").unwrap();
    let file = directory.path().join("dropbox/pc-017/mwav.log");
    assert!(!file.exists());
    upload.write(b"last").unwrap();
    assert_eq!(upload.length(), 10);
    assert!(!file.exists());
    assert_eq!(upload.finish().unwrap(), 10);
    assert_eq!(fs::read(&file).unwrap(), b"first last");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(
        contents(directory.path())
            .iter()
            .any(|(name, _)| name == "dropbox/.incoming")
    );
    assert_eq!(contents(directory.path()).len(), 3, "nothing else is left");
}

#[test]
fn an_upload_that_is_dropped_leaves_nothing_and_keeps_what_was_there() {
    let (directory, dropbox) = dropbox();
    drop_file(&dropbox, "pc", "mwav.log", b"old").unwrap();
    let before = contents(directory.path());
    let mut upload = dropbox.upload("pc", "mwav.log", Placement::Replace).unwrap();
    upload.write(b"half of the ne").unwrap();
    drop(upload);
    assert_eq!(contents(directory.path()), before);
}

#[test]
fn appending_adds_to_a_copy_and_replaces_at_the_end() {
    let (directory, dropbox) = dropbox();
    drop_file(&dropbox, "pc", "mwav.log", b"old ").unwrap();
    let file = directory.path().join("dropbox/pc/mwav.log");
    let mut upload = dropbox.upload("pc", "mwav.log", Placement::Append).unwrap();
    upload.write(b"new").unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"old ");
    assert_eq!(upload.finish().unwrap(), 7);
    assert_eq!(fs::read(&file).unwrap(), b"old new");

    let mut fresh = dropbox.upload("pc", "other.log", Placement::Append).unwrap();
    fresh.write(b"x").unwrap();
    assert_eq!(fresh.finish().unwrap(), 1);
}

#[test]
fn leftovers_of_a_killed_server_are_removed_at_start() {
    let (directory, dropbox) = dropbox();
    let upload = dropbox.upload("pc", "mwav.log", Placement::Replace).unwrap();
    std::mem::forget(upload);
    let incoming = directory.path().join("dropbox/.incoming");
    assert_eq!(fs::read_dir(&incoming).unwrap().count(), 1);
    DropBox::open(&directory.path().join("dropbox"), LIMITS).unwrap();
    assert_eq!(fs::read_dir(&incoming).unwrap().count(), 0);
}

#[test]
fn names_that_would_leave_or_hide_are_refused() {
    let (directory, dropbox) = dropbox();
    let long = "a".repeat(129);
    for name in [
        "",
        ".",
        "..",
        ".incoming",
        "a/b",
        "/etc",
        "a\\b",
        "a\nb",
        "a\0b",
        "a b",
        "é",
        &long,
    ] {
        for (client, file) in [(name, "mwav.log"), ("pc", name)] {
            let error = dropbox.upload(client, file, Placement::Replace).unwrap_err();
            assert!(matches!(error, UploadError::Name(_)), "{name:?}: {error:?}");
        }
    }
    assert_eq!(contents(directory.path()).len(), 1, "only .incoming");
}

#[test]
fn a_link_out_of_the_drop_box_is_not_followed() {
    let (directory, dropbox) = dropbox();
    let outside = directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("passwd"), "root").unwrap();
    symlink(&outside, directory.path().join("dropbox/pc")).unwrap();
    assert!(drop_file(&dropbox, "pc", "mwav.log", b"x").is_err());
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(dropbox.clients().unwrap(), []);

    dropbox.make_client("other").unwrap();
    symlink(outside.join("passwd"), directory.path().join("dropbox/other/mwav.log")).unwrap();
    assert!(drop_file(&dropbox, "other", "mwav.log", b"x").is_err());
    assert_eq!(fs::read(outside.join("passwd")).unwrap(), b"root");
}

#[test]
fn a_file_beyond_the_limit_is_refused_at_the_first_byte_too_many() {
    let (directory, dropbox) = dropbox();
    assert_eq!(drop_file(&dropbox, "pc", "full", &[0; 1_000]).unwrap(), 1_000);
    let mut upload = dropbox.upload("pc", "more", Placement::Replace).unwrap();
    upload.write(&[0; 999]).unwrap();
    assert!(matches!(upload.write(&[0; 2]), Err(UploadError::FileTooLarge(1_000))));
    drop(upload);
    assert_eq!(contents(directory.path()).len(), 3);
}

#[test]
fn the_quota_counts_what_is_on_its_way_and_forgets_what_was_dropped() {
    let (_directory, dropbox) = dropbox();
    drop_file(&dropbox, "pc", "a", &[0; 900]).unwrap();
    let mut first = dropbox.upload("pc", "b", Placement::Replace).unwrap();
    first.write(&[0; 600]).unwrap();
    let mut second = dropbox.upload("pc", "c", Placement::Replace).unwrap();
    assert!(matches!(second.write(&[0; 501]), Err(UploadError::Quota(2_000))));
    second.write(&[0; 500]).unwrap();
    drop(first);
    second.write(&[0; 500]).unwrap();
    second.finish().unwrap();
    assert!(matches!(
        drop_file(&dropbox, "pc", "d", &[0; 101]),
        Err(UploadError::Quota(_))
    ));
    drop_file(&dropbox, "other", "d", &[0; 1_000]).unwrap();
}

#[test]
fn a_file_that_is_replaced_does_not_count_twice() {
    let (_directory, dropbox) = dropbox();
    for _ in 0..5 {
        drop_file(&dropbox, "pc", "a", &[0; 1_000]).unwrap();
        drop_file(&dropbox, "pc", "b", &[0; 1_000]).unwrap();
    }
    assert!(matches!(
        drop_file(&dropbox, "pc", "c", &[0; 1]),
        Err(UploadError::Quota(_))
    ));
}

#[test]
fn the_numbers_of_files_and_clients_are_limited() {
    let (_directory, dropbox) = dropbox();
    for file in ["a", "b", "c"] {
        drop_file(&dropbox, "one", file, b"x").unwrap();
    }
    assert!(matches!(
        drop_file(&dropbox, "one", "d", b"x"),
        Err(UploadError::TooManyFiles(3))
    ));
    drop_file(&dropbox, "one", "c", b"again").unwrap();
    dropbox.make_client("two").unwrap();
    assert!(matches!(dropbox.make_client("two"), Err(UploadError::Exists)));
    assert!(matches!(
        dropbox.make_client("three"),
        Err(UploadError::TooManyClients(2))
    ));
    let names: Vec<String> = dropbox.clients().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["one", "two"]);
}

#[test]
fn a_full_disk_is_told_apart_from_other_failures() {
    let error = |raw| UploadError::from(io::Error::from_raw_os_error(raw));
    let (enospc, edquot, eio) = (28, 122, 5);
    assert!(matches!(error(enospc), UploadError::DiskFull(_)));
    assert!(matches!(error(edquot), UploadError::DiskFull(_)));
    assert!(matches!(error(eio), UploadError::Io(_)));
}
