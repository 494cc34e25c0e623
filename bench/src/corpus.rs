//! The files that all servers serve: one signed update set in a depot, with a file of each size.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Context;
use fwdrill_protocol::update_set::{FileEntry, FileKind, MANIFEST_FILE, Manifest, SIGNATURE_FILE, SecretKey, Sha256};
use jiff::{SignedDuration, Timestamp};
use sha2::Digest;

/// A depot with one set, and files of known sizes in it.
#[derive(Debug)]
pub(crate) struct Corpus {
    depot: PathBuf,
}

impl Corpus {
    /// Makes it in `directory`, with a file of each of these sizes (bytes).
    pub(crate) fn make(directory: &Path, sizes: &[u64]) -> anyhow::Result<Self> {
        let depot = directory.join("depot");
        let set = depot.join("sets/1");
        fs::create_dir_all(set.join("extras")).context("failed to make the depot")?;
        let mut entries = Vec::new();
        for size in sizes {
            let (path, file) = (path(*size), set.join(path(*size)));
            let sha256 = write(&file, *size).with_context(|| format!("failed to write {}", file.display()))?;
            entries.push(FileEntry {
                path: path.parse()?,
                size: *size,
                sha256,
                kind: FileKind::Extra,
            });
        }
        let (key, now) = (SecretKey::generate()?, Timestamp::now());
        let manifest = Manifest::new(
            "bench".to_owned(),
            1,
            now,
            now + SignedDuration::from_hours(24),
            entries,
        )?;
        let manifest = manifest.render();
        fs::write(set.join(SIGNATURE_FILE), key.sign(manifest.as_bytes(), "bench")?)?;
        fs::write(set.join(MANIFEST_FILE), manifest)?;
        fs::write(depot.join("minisign.pub"), key.public().render())?;
        symlink("sets/1", depot.join("current"))?;
        Ok(Corpus { depot })
    }

    /// What `fwdrill serve --depot` takes.
    pub(crate) fn depot(&self) -> &Path {
        &self.depot
    }

    /// The directory in which the files lie at their paths, for a server that serves directories.
    pub(crate) fn root(&self) -> PathBuf {
        self.depot.join("sets/1")
    }
}

/// Where in the tree the file of this size is.
pub(crate) fn path(size: u64) -> String {
    format!("extras/{size}.bin")
}

/// Bytes that cannot be compressed, the same in every run.
fn write(path: &Path, size: u64) -> anyhow::Result<Sha256> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create_new(path)?);
    let (mut digest, mut state) = (sha2::Sha256::new(), size | 1);
    let mut left = size;
    while left > 0 {
        let mut block = [0; 4096];
        for word in block.chunks_exact_mut(8) {
            // xorshift64 (Marsaglia 2003)
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let block = &block[..usize::try_from(left).unwrap_or(usize::MAX).min(4096)];
        digest.update(block);
        file.write_all(block)?;
        left -= block.len() as u64;
    }
    file.flush()?;
    Ok(Sha256::from_bytes(digest.finalize().into()))
}
