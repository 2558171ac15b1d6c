//! What the system's backups leave out: a file that a hub still lists can be fetched again, and need not be copied every hour.
//! Everything else stays in them: what was painted or handed over here, and files that their hubs replaced or took away.
//! Only files of our own stores are marked; those of libraries and of other tools are not ours to mark.

use crate::Parts;
use crate::error::SyncError;
use crate::service::Sync;
use crate::settle::blocking;
use paintbox_catalogue::{FileId, KeptPlace};

/// Files that are looked at in one go.
const PAGE: u32 = 100;

impl Parts {
    /// Whether content is left out, of which it is known whether a hub still lists it.
    fn leaves_out(&self, listed: bool) -> bool {
        self.places.leave_out_of_backups() && listed
    }

    /// Whether what is about to get its name as a hub's file is left out.
    pub(crate) async fn leaves_file_out(&self, file: FileId) -> Result<bool, SyncError> {
        Ok(self.leaves_out(self.catalogue.still_lists(file).await?))
    }

    fn mark(&self, place: &KeptPlace) {
        if let Some(store) = self.places.holder_at(&place.path, &place.sha256) {
            store.leave_out_of_backups(&place.sha256, self.leaves_out(place.listed));
        }
    }
}

impl Sync {
    /// Makes the mark of every file of ours what it should be by now. One whose mark is right costs a look at it, so nothing
    /// waits for a better moment.
    pub(crate) async fn mark_for_backups(&self) -> Result<(), SyncError> {
        let parts = &self.inner.parts;
        if !parts.places.home().marks_for_backups() {
            return Ok(());
        }
        let mut last = None;
        while !self.inner.shutdown.is_cancelled() {
            // Nobody sets aside or takes away what is being marked, or its mark would go there with it.
            let _naming = parts.places.naming.read().await;
            let kept = parts.catalogue.kept_places(last, PAGE).await?;
            let Some(end) = kept.last() else { break };
            last = Some(end.id);
            let marking = parts.clone();
            blocking(move || kept.iter().for_each(|place| marking.mark(place))).await?;
        }
        Ok(())
    }
}
