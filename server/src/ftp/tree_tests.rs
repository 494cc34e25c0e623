use std::fs;
use std::io::Read;

use tempfile::TempDir;

use super::*;
use crate::shelf::Shelf;
use crate::testing::TestDepot;
use fwdrill_protocol::estate::limits::DropBoxLimits;

struct Place {
    depot: TestDepot,
    state: TempDir,
    tree: Tree,
}

const FILES: &[(&str, &[u8])] = &[
    ("extras/eicar.com", b"X5O"),
    ("policies/default.json", b"{}"),
    ("signatures/full/main.fwdb", b"main"),
    ("signatures/full-old/main.fwdb", b"old"),
    ("signatures/index", b"index"),
    ("upload", b"a file with the drop box's name"),
];

async fn place(files: &[(&str, &[u8])]) -> Place {
    let (depot, state) = (TestDepot::new(), tempfile::tempdir().unwrap());
    if !files.is_empty() {
        depot.publish(7, files);
    }
    let shelf = Shelf::new(depot.path());
    let set = shelf.load().await.unwrap();
    let key = shelf.public_key().map(|key| Bytes::from(key.render()));
    let dropbox = DropBox::open(&state.path().join("dropbox"), DropBoxLimits::default()).unwrap();
    Place {
        tree: Tree::new(set, key, dropbox),
        depot,
        state,
    }
}

fn path(text: &str) -> VirtualPath {
    VirtualPath::root().join(text).unwrap()
}

impl Place {
    fn names(&self, text: &str) -> Vec<String> {
        let entries = self.tree.list(&path(text)).unwrap();
        entries.into_iter().map(|entry| entry.name).collect()
    }

    fn read(&self, text: &str) -> Result<Vec<u8>, TreeError> {
        let content = self.tree.open(&path(text))?;
        let bytes = match content.body {
            Body::Memory(bytes) => bytes.to_vec(),
            Body::File(mut file) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).unwrap();
                bytes
            }
        };
        assert_eq!(content.size, bytes.len() as u64);
        Ok(bytes)
    }
}

#[tokio::test]
async fn the_set_and_the_drop_box_are_one_tree() {
    let place = place(FILES).await;
    assert_eq!(
        place.names("/"),
        [
            "extras",
            "manifest.json",
            "manifest.json.minisig",
            "minisign.pub",
            "policies",
            "signatures",
            "upload"
        ]
    );
    assert_eq!(place.names("/signatures"), ["full", "full-old", "index"]);
    assert_eq!(place.names("/signatures/full"), ["main.fwdb"]);
    assert_eq!(place.names("/signatures/index"), ["index"]);
    assert_eq!(place.read("/signatures/full/main.fwdb").unwrap(), b"main");
    let set = place.depot.path().join("sets/7");
    assert_eq!(
        place.read("/manifest.json").unwrap(),
        fs::read(set.join("manifest.json")).unwrap()
    );
    assert_eq!(
        place.read("/manifest.json.minisig").unwrap(),
        fs::read(set.join("manifest.json.minisig")).unwrap()
    );
    assert_eq!(
        place.read("/minisign.pub").unwrap(),
        fs::read(place.depot.path().join("minisign.pub")).unwrap()
    );
}

#[tokio::test]
async fn entries_say_what_they_are() {
    let place = place(FILES).await;
    let entry = |text| place.tree.entry(&path(text)).unwrap();
    let published: SystemTime = place.depot.published(7).try_into().unwrap();
    let file = entry("/signatures/index");
    assert_eq!((file.name.as_str(), file.kind, file.size), ("index", Kind::File, 5));
    assert_eq!(file.modified, published);
    assert_eq!(entry("/signatures").kind, Kind::Directory);
    assert_eq!(entry("/").kind, Kind::Directory);
    assert_eq!(entry("/upload").kind, Kind::DropBox);
}

#[tokio::test]
async fn a_session_keeps_the_set_it_began_with() {
    let place = place(FILES).await;
    place.depot.publish(8, &[("signatures/index", b"new index")]);
    assert_eq!(place.read("/signatures/index").unwrap(), b"index");
    assert_eq!(place.names("/policies"), ["default.json"]);
}

#[tokio::test]
async fn only_what_the_manifest_lists_is_there() {
    let place = place(FILES).await;
    let set = place.depot.path().join("sets/7");
    fs::write(set.join("signatures/stray"), "stray").unwrap();
    fs::write(set.join("signatures/bad\nname"), "stray").unwrap();
    std::os::unix::fs::symlink("/etc", set.join("signatures/etc")).unwrap();
    assert_eq!(place.names("/signatures"), ["full", "full-old", "index"]);
    for text in [
        "/signatures/stray",
        "/signatures/etc/passwd",
        "/etc/passwd",
        "/sets",
        "/signatures/ind",
        "/sig",
    ] {
        assert!(matches!(place.read(text), Err(TreeError::NotFound)), "{text}");
        assert!(
            matches!(place.tree.enter(&path(text)), Err(TreeError::NotFound)),
            "{text}"
        );
        assert!(
            matches!(place.tree.list(&path(text)), Err(TreeError::NotFound)),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_file_of_the_set_that_turned_into_something_else_is_not_read() {
    let place = place(FILES).await;
    let file = place.depot.path().join("sets/7/signatures/index");
    fs::remove_file(&file).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RUSR).unwrap();
    assert!(matches!(place.read("/signatures/index"), Err(TreeError::Unservable(_))));
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
    assert!(matches!(place.read("/signatures/index"), Err(TreeError::Unservable(_))));
}

#[tokio::test]
async fn files_and_directories_are_not_mixed_up() {
    let place = place(FILES).await;
    assert!(matches!(place.read("/"), Err(TreeError::IsADirectory)));
    assert!(matches!(place.read("/signatures"), Err(TreeError::IsADirectory)));
    assert!(matches!(place.read("/upload"), Err(TreeError::IsADirectory)));
    for text in ["/signatures/index", "/manifest.json"] {
        assert!(matches!(place.tree.enter(&path(text)), Err(TreeError::NotADirectory)));
    }
    for text in ["/", "/signatures", "/signatures/full", "/upload", "/upload/pc-017"] {
        place.tree.enter(&path(text)).unwrap();
    }
}

#[tokio::test]
async fn the_drop_box_can_be_written_and_not_read() {
    let place = place(FILES).await;
    let mut upload = place
        .tree
        .upload(&path("/upload/pc-017/mwav.log"), Placement::Replace)
        .unwrap();
    upload.write(b"clean").unwrap();
    upload.finish().unwrap();
    let there = place.state.path().join("dropbox/pc-017/mwav.log");
    assert_eq!(fs::read(there).unwrap(), b"clean");

    assert_eq!(place.names("/upload"), ["pc-017"]);
    assert_eq!(place.names("/upload/pc-017"), [""; 0]);
    assert!(matches!(
        place.read("/upload/pc-017/mwav.log"),
        Err(TreeError::WriteOnly)
    ));
    assert!(matches!(place.read("/upload/pc-017/other"), Err(TreeError::WriteOnly)));
    for text in ["/upload/pc-017/mwav.log", "/upload/nobody", "/upload/.incoming"] {
        assert!(
            matches!(place.tree.entry(&path(text)), Err(TreeError::NotFound)),
            "{text}"
        );
    }
    assert!(matches!(
        place.tree.enter(&path("/upload/.incoming")),
        Err(TreeError::NotFound)
    ));
}

#[tokio::test]
async fn nothing_is_written_outside_the_drop_box() {
    let place = place(FILES).await;
    for text in [
        "/mwav.log",
        "/signatures/index",
        "/minisign.pub",
        "/manifest.json",
        "/upload/../mwav.log",
    ] {
        let refused = place.tree.upload(&path(text), Placement::Replace);
        assert!(matches!(refused, Err(TreeError::ReadOnly)), "{text}");
    }
    assert!(matches!(
        place.tree.upload(&path("/upload/x"), Placement::Replace),
        Err(TreeError::IsADirectory)
    ));
    assert!(place.tree.upload(&path("/upload/a/b/c"), Placement::Replace).is_err());
    assert!(matches!(
        place.tree.make_directory(&path("/new")),
        Err(TreeError::ReadOnly)
    ));
    assert!(place.tree.make_directory(&path("/upload/a/b")).is_err());
    place.tree.make_directory(&path("/upload/a")).unwrap();
    let again = place.tree.make_directory(&path("/upload/a"));
    assert!(matches!(again, Err(TreeError::Upload(UploadError::Exists))));
}

#[tokio::test]
async fn before_anything_is_published_there_are_the_key_and_the_drop_box() {
    let place = place(&[]).await;
    assert_eq!(place.names("/"), ["minisign.pub", "upload"]);
    assert!(matches!(place.read("/manifest.json"), Err(TreeError::NotFound)));
}
