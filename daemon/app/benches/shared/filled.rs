//! A catalogue of many models.

use crate::Failure;
use crate::world::World;
use paintbox_catalogue::Catalogue;

/// Models of one transaction.
pub(crate) const PAGE: u64 = 1_000;

/// Records models until there are so many, going on where somebody was broken off.
pub(crate) async fn fill(catalogue: &Catalogue, models: u64) -> Result<(), Failure> {
    let there = catalogue.counts().await?.models;
    let mut world = World::new();
    for first in (there / PAGE * PAGE..models).step_by(usize::try_from(PAGE)?) {
        let page: Vec<_> = (first..models.min(first + PAGE)).map(|number| world.model(number)).collect();
        catalogue.record_models(&page, None).await?;
    }
    Ok(())
}
