//! Everything that is here in the scripted world, as a whole.

use super::{Answer, Fake, answer};
use paintbox_proto::v1;
use tonic::Request;

/// What the daemon answers.
#[derive(Debug, Default)]
pub(in super::super) struct Shelf {
    pub(in super::super) stats: v1::Stats,
    /// In pages of two.
    pub(in super::super) duplicates: Vec<v1::Duplicate>,
    /// Sums over all duplicates.
    pub(in super::super) sums: v1::ListDuplicatesResponse,
    /// In pages of two.
    pub(in super::super) updates: Vec<v1::ModelUpdate>,
    pub(in super::super) companions: Vec<v1::Companions>,
}

/// Two of them, and where the next begin.
fn page<T: Clone>(all: &[T], token: &str) -> (Vec<T>, String) {
    let at: usize = token.parse().unwrap_or(0);
    let next = if at + 2 < all.len() { (at + 2).to_string() } else { String::new() };
    (all.iter().skip(at).take(2).cloned().collect(), next)
}

#[tonic::async_trait]
impl v1::shelf_service_server::ShelfService for Fake {
    async fn get_stats(&self, _: Request<v1::GetStatsRequest>) -> Answer<v1::Stats> {
        answer(self.world().shelf.stats.clone())
    }

    async fn list_duplicates(&self, request: Request<v1::ListDuplicatesRequest>) -> Answer<v1::ListDuplicatesResponse> {
        self.note(request.get_ref());
        let world = self.world();
        let (duplicates, next_page_token) = page(&world.shelf.duplicates, &request.get_ref().page_token);
        answer(v1::ListDuplicatesResponse { duplicates, next_page_token, ..world.shelf.sums.clone() })
    }

    async fn list_updates(&self, request: Request<v1::ListUpdatesRequest>) -> Answer<v1::ListUpdatesResponse> {
        self.note(request.get_ref());
        let world = self.world();
        let (models, next_page_token) = page(&world.shelf.updates, &request.get_ref().page_token);
        answer(v1::ListUpdatesResponse { models, next_page_token, total_models: world.shelf.updates.len() as u64 })
    }

    async fn list_companions(&self, _: Request<v1::ListCompanionsRequest>) -> Answer<v1::ListCompanionsResponse> {
        answer(v1::ListCompanionsResponse { kinds: self.world().shelf.companions.clone(), ..Default::default() })
    }
}
