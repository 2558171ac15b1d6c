//! The states of resources (AIP-216), as the daemon's own parts call them and as the API does.

use paintbox_catalogue::{FileState, FollowState, LocalIdentity, RemovalState};
use paintbox_domain::DownloadState;
use paintbox_domain::generation::JobState;
use paintbox_domain::hub::ModelState;
use paintbox_proto::v1;
use paintbox_sync::HubState;

pub(crate) fn of_model(state: ModelState) -> v1::model::State {
    match state {
        ModelState::Published => v1::model::State::Published,
        ModelState::Archived => v1::model::State::Archived,
        ModelState::TakenDown => v1::model::State::TakenDown,
        ModelState::Gated => v1::model::State::Gated,
        ModelState::Disabled => v1::model::State::Disabled,
    }
}

pub(crate) fn of_identity(identity: &LocalIdentity) -> v1::local_identity::State {
    match (identity.asked_at, &identity.claimed) {
        (_, Some(_)) => v1::local_identity::State::Claimed,
        (Some(_), None) => v1::local_identity::State::Unknown,
        (None, None) => v1::local_identity::State::Pending,
    }
}

pub(crate) fn of_file(state: FileState) -> v1::model_file::State {
    match state {
        FileState::Verified => v1::model_file::State::Verified,
        FileState::Unverified => v1::model_file::State::Unverified,
        FileState::Mismatched => v1::model_file::State::Mismatched,
        FileState::Absent => v1::model_file::State::Absent,
        FileState::Away => v1::model_file::State::Away,
    }
}

pub(crate) fn of_generation(state: JobState) -> v1::generation::State {
    match state {
        JobState::Queued => v1::generation::State::Queued,
        JobState::Running => v1::generation::State::Running,
        JobState::Succeeded => v1::generation::State::Succeeded,
        JobState::Failed => v1::generation::State::Failed,
        JobState::Cancelled => v1::generation::State::Cancelled,
    }
}

pub(crate) fn of_sync_run(state: JobState) -> v1::sync_run::State {
    match state {
        JobState::Queued => v1::sync_run::State::Queued,
        JobState::Running => v1::sync_run::State::Running,
        JobState::Succeeded => v1::sync_run::State::Succeeded,
        JobState::Failed => v1::sync_run::State::Failed,
        JobState::Cancelled => v1::sync_run::State::Cancelled,
    }
}

pub(crate) fn of_download(state: DownloadState) -> v1::download::State {
    match state {
        DownloadState::Queued => v1::download::State::Queued,
        DownloadState::Resolving => v1::download::State::Resolving,
        DownloadState::Transferring => v1::download::State::Transferring,
        DownloadState::Verifying => v1::download::State::Verifying,
        DownloadState::Placing => v1::download::State::Placing,
        DownloadState::Done => v1::download::State::Done,
        DownloadState::Failed => v1::download::State::Failed,
        DownloadState::Paused => v1::download::State::Paused,
        DownloadState::Cancelled => v1::download::State::Cancelled,
    }
}

pub(crate) fn of_follow(state: FollowState) -> v1::follow::State {
    match state {
        FollowState::New => v1::follow::State::New,
        FollowState::Active => v1::follow::State::Active,
        FollowState::Waiting => v1::follow::State::Waiting,
        FollowState::Failing => v1::follow::State::Failing,
    }
}

pub(crate) fn of_hub(state: HubState) -> v1::hub_status::State {
    match state {
        HubState::Ok => v1::hub_status::State::Ok,
        HubState::Limited => v1::hub_status::State::Limited,
        HubState::Down => v1::hub_status::State::Down,
    }
}

pub(crate) fn of_library(is_present: bool) -> v1::library::State {
    if is_present { v1::library::State::Present } else { v1::library::State::Away }
}

pub(crate) fn of_volume(is_present: bool) -> v1::volume::State {
    if is_present { v1::volume::State::Present } else { v1::volume::State::Away }
}

/// Bytes that are being taken away cannot be had back any more.
pub(crate) fn of_removal(state: RemovalState) -> v1::removal::State {
    match state {
        RemovalState::Trashed => v1::removal::State::Trashed,
        RemovalState::Restored => v1::removal::State::Restored,
        RemovalState::Emptying | RemovalState::Emptied => v1::removal::State::Emptied,
    }
}
