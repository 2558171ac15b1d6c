//! The care of the catalogue's own file.

use super::{DAY, World};
use paintbox_catalogue::{BackupKind, CatalogueCare};

async fn world() -> World {
    // Disks in memory are small.
    World::with(|_, settings| {
        settings.care.catalogue = CatalogueCare { backups: 2, backup_limit_bytes: 1 << 30, kept_free_bytes: 0 };
    })
    .await
}

#[tokio::test]
async fn a_day_brings_a_backup_and_the_file_is_looked_at() {
    let world = world().await;
    for _ in 0..4 {
        world.follow(&format!("civitai:tag:{}", world.now().unix_ms())).await;
        for _ in 0..2 {
            world.sync.care_for_catalogue().await.unwrap();
        }
        world.clock.advance(DAY);
    }
    let health = world.catalogue.health().await.unwrap();
    assert!(health.check.unwrap().is_sound());
    assert_eq!(health.backups.iter().map(|backup| backup.kind).collect::<Vec<_>>(), [BackupKind::Daily; 2]);
}

#[tokio::test]
async fn a_damaged_file_does_not_push_good_backups_out() {
    let world = world().await;
    world.sync.care_for_catalogue().await.unwrap();
    let good = world.catalogue.backups().await.unwrap();
    let found = format!(
        r#"{{"depth":"full","at":{},"problems":["Tree 2 is not as it should be"],"problem_count":1}}"#,
        world.now().plus(DAY).unix_ms()
    );
    std::fs::write(world.home.path().join("catalogue.db.checked"), found).unwrap();
    for _ in 0..3 {
        world.clock.advance(DAY);
        world.follow(&format!("civitai:tag:{}", world.now().unix_ms())).await;
        world.sync.care_for_catalogue().await.unwrap();
    }
    assert_eq!(world.catalogue.backups().await.unwrap(), good);
}
