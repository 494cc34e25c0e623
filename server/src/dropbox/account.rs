//! What one client uses of its share while it uploads.

use std::io;
use std::sync::{MutexGuard, PoisonError};

use super::{DropBox, UploadError};

/// Kept while a client has an upload under way; between uploads the directory itself is the account.
#[derive(Debug)]
pub(super) struct Account {
    /// Bytes on the disk when the account was opened, and all written since.
    used: u64,
    uploads: usize,
}

impl DropBox {
    /// Opens the client's account, or joins in.
    pub(super) fn open_account(&self, client: &str, on_disk: u64) {
        let mut accounts = self.accounts();
        let account = accounts.entry(client.to_owned()).or_insert(Account {
            used: on_disk,
            uploads: 0,
        });
        account.uploads += 1;
    }

    /// Books `bytes` more if the share allows it. `replaced` bytes of it will be free again.
    pub(super) fn book(&self, client: &str, bytes: u64, replaced: u64) -> Result<(), UploadError> {
        let mut accounts = self.accounts();
        let Some(account) = accounts.get_mut(client) else {
            return Ok(());
        };
        let used = account.used.saturating_add(bytes);
        if used > self.limits.client_bytes.saturating_add(replaced) {
            return Err(UploadError::Quota(self.limits.client_bytes));
        }
        account.used = used;
        Ok(())
    }

    /// Gives back what was removed while uploads are under way.
    pub(super) fn release(&self, client: &str, freed: u64) {
        if let Some(account) = self.accounts().get_mut(client) {
            account.used = account.used.saturating_sub(freed);
        }
    }

    /// Ends one upload, giving `freed` bytes back.
    pub(super) fn close_account(&self, client: &str, freed: u64) {
        let mut accounts = self.accounts();
        let Some(account) = accounts.get_mut(client) else {
            return;
        };
        account.used = account.used.saturating_sub(freed);
        account.uploads -= 1;
        if account.uploads == 0 {
            accounts.remove(client);
        }
    }

    /// How many files a client has, and their sizes together.
    pub(super) fn on_disk(&self, client: &str) -> io::Result<(usize, u64)> {
        let (mut files, mut bytes) = (0, 0_u64);
        for entry in self.directory.read_dir(client)? {
            // One that is removed meanwhile takes no space.
            if let Ok(metadata) = entry?.metadata() {
                files += 1;
                bytes = bytes.saturating_add(metadata.len());
            }
        }
        Ok((files, bytes))
    }

    fn accounts(&self) -> MutexGuard<'_, std::collections::HashMap<String, Account>> {
        // Nothing between taking and releasing the lock can panic with the books half changed.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
