//! One upload, from its first byte to its name.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};

use super::{DropBox, INCOMING, UploadError};

/// What becomes of a file that has the name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// It is replaced.
    Replace,
    /// What is uploaded is added at its end (a copy of it: until the end it stays what it was).
    Append,
}

/// A file on its way into the drop box. Dropping it unfinished leaves nothing behind.
#[derive(Debug)]
pub struct Upload {
    dropbox: Arc<DropBox>,
    client: String,
    name: String,
    file: File,
    /// Its name under `.incoming/`, until it has another.
    incoming: Option<String>,
    /// The size of the file that has the name now.
    replaced: u64,
    /// What is in the new file so far, and booked.
    length: u64,
}

impl Upload {
    pub(super) fn begin(
        dropbox: Arc<DropBox>,
        client: &str,
        name: &str,
        placement: Placement,
    ) -> Result<Self, UploadError> {
        let directory = dropbox.directory.open_dir(client)?;
        let replaced = match directory.symlink_metadata(name) {
            Ok(metadata) if metadata.is_file() => Some(metadata.len()),
            Ok(_) => return Err(io::Error::from(io::ErrorKind::AlreadyExists).into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let (files, bytes) = dropbox.on_disk(client)?;
        if replaced.is_none() && files >= dropbox.limits.client_files {
            return Err(UploadError::TooManyFiles(dropbox.limits.client_files));
        }
        let incoming = format!("{:032x}", rand::random::<u128>());
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = dropbox.incoming()?.open_with(&incoming, &options)?.into_std();
        dropbox.open_account(client, bytes);
        let mut upload = Upload {
            dropbox,
            client: client.to_owned(),
            name: name.to_owned(),
            file,
            incoming: Some(incoming),
            replaced: replaced.unwrap_or(0),
            length: 0,
        };
        if placement == Placement::Append && replaced.is_some() {
            upload.copy_from(&directory)?;
        }
        Ok(upload)
    }

    /// How long the file is so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Adds `bytes`. After an error the upload can only be dropped.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        self.book(bytes.len() as u64)?;
        Ok(self.file.write_all(bytes)?)
    }

    /// Puts the file in its place and returns its length. As with other FTP servers nobody waits for the disk: a hundred
    /// clients that upload their logs at once would wait for it a hundred times.
    pub fn finish(mut self) -> Result<u64, UploadError> {
        let directory = self.dropbox.directory.open_dir(&self.client)?;
        if let Some(incoming) = &self.incoming {
            self.dropbox.incoming()?.rename(incoming, &directory, &self.name)?;
        }
        self.incoming = None;
        Ok(self.length)
    }

    fn copy_from(&mut self, directory: &Dir) -> Result<(), UploadError> {
        self.book(self.replaced)?;
        let mut old = directory.open(&self.name)?.into_std();
        let copied = io::copy(&mut io::Read::take(&mut old, self.replaced), &mut self.file)?;
        if copied == self.replaced {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
        }
    }

    fn book(&mut self, bytes: u64) -> Result<(), UploadError> {
        let length = self.length.saturating_add(bytes);
        let most = self.dropbox.limits.file_bytes;
        if length > most {
            return Err(UploadError::FileTooLarge(most));
        }
        self.dropbox.book(&self.client, bytes, self.replaced)?;
        self.length = length;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let freed = match self.incoming.take() {
            None => self.replaced,
            Some(incoming) => {
                let removed = self.dropbox.incoming().and_then(|dir| dir.remove_file(&incoming));
                if let Err(error) = removed {
                    tracing::warn!(%error, "cannot remove an unfinished upload; the next start will");
                }
                self.length
            }
        };
        self.dropbox.close_account(&self.client, freed);
    }
}

impl DropBox {
    fn incoming(&self) -> io::Result<Dir> {
        self.directory.open_dir(INCOMING)
    }
}
