//! `AssetService`: immutable images in pieces.

use crate::names;
use crate::server::{Api, StreamOf, bounded, lost};
use crate::status::{failure_status, invalid, status};
use paintbox_catalogue::{Asset, AssetOrigin, Catalogue};
use paintbox_domain::{ErrorClass, Failure, Sha256, reason};
use paintbox_proto::v1;
use paintbox_proto::v1::asset_service_server::AssetService;
use paintbox_store::Store;
use paintbox_store::preview::{Limits, PreviewError, decode_preview};
use std::io::{Read as _, Seek as _, SeekFrom};
use tonic::{Request, Response, Status, Streaming};

const PIECE_BYTES: usize = 64 * 1024;
/// One message holds an upload, and no message is larger than a mebibyte.
const LARGEST_UPLOAD_BYTES: usize = 900 * 1024;
/// What comes in parts: a picture of more is nothing that a program here paints.
pub(crate) const LARGEST_PICTURE_BYTES: usize = 64 << 20;

fn message(asset: &Asset) -> v1::Asset {
    v1::Asset {
        name: names::asset(&asset.sha256),
        media_type: asset.media_type.clone(),
        size_bytes: asset.size_bytes,
        width: asset.width,
        height: asset.height,
    }
}

impl Api {
    async fn asset(&self, name: &str) -> Result<(Sha256, Asset), Status> {
        let sha256 = names::parse_asset(name)?;
        let asset = self.catalogue.asset(&sha256).await.map_err(|error| status(&error))?;
        let asset = asset.ok_or_else(|| {
            let failure = Failure::new(ErrorClass::NotFound, reason::ASSET_NOT_FOUND, format!("there is no {name}"));
            failure_status(&failure.with("name", name))
        })?;
        Ok((sha256, asset))
    }

    async fn keep(&self, data: Vec<u8>) -> Result<Response<v1::Asset>, Status> {
        let kept = keep_picture(&self.store, &self.catalogue, data).await;
        Ok(Response::new(message(&kept.map_err(|failure| failure_status(&failure))?)))
    }
}

/// Records an image as an asset, if it is one.
pub(crate) async fn keep_picture(store: &Store, catalogue: &Catalogue, data: Vec<u8>) -> Result<Asset, Failure> {
    let store = store.clone();
    let stored = tokio::task::spawn_blocking(move || {
        let image = decode_preview(&data, &Limits::default()).map_err(|error| refused(&error))?;
        let blob = store.put_bytes(&data).map_err(|error| Failure::of(&error))?;
        Ok::<_, Failure>(Asset {
            sha256: blob.sha256,
            media_type: image.format.media_type().to_owned(),
            size_bytes: blob.size_bytes,
            width: image.width,
            height: image.height,
            origin: AssetOrigin::Upload,
        })
    });
    let lost = |_| Failure::new(ErrorClass::Internal, reason::INTERNAL, "the work ended without an answer");
    let asset = stored.await.map_err(lost)??;
    catalogue.record_asset(&asset).await.map_err(|error| Failure::of(&error))?;
    Ok(asset)
}

/// What is wrong with a picture is wrong with the request that brought it: nothing of ours is lost.
fn refused(error: &PreviewError) -> Failure {
    let failure = Failure::of(error);
    let class = if failure.class == ErrorClass::DataLoss { ErrorClass::InvalidInput } else { failure.class };
    Failure { class, ..failure }
}

#[tonic::async_trait]
impl AssetService for Api {
    type ReadAssetStream = StreamOf<v1::ReadAssetResponse>;

    async fn get_asset(&self, request: Request<v1::GetAssetRequest>) -> Result<Response<v1::Asset>, Status> {
        let (_, asset) = self.asset(&request.into_inner().name).await?;
        Ok(Response::new(message(&asset)))
    }

    async fn read_asset(
        &self,
        request: Request<v1::ReadAssetRequest>,
    ) -> Result<Response<Self::ReadAssetStream>, Status> {
        let request = request.into_inner();
        let (sha256, asset) = self.asset(&request.name).await?;
        if request.offset > asset.size_bytes {
            let problem = format!("{} is past the end at {}", request.offset, asset.size_bytes);
            return Err(invalid("offset", problem));
        }
        let store = self.store.clone();
        let offset = request.offset;
        let mut file = tokio::task::spawn_blocking(move || {
            let mut file = store.open_blob(&sha256).map_err(|error| status(&error))?;
            file.seek(SeekFrom::Start(offset)).map_err(|_| lost())?;
            Ok::<_, Status>(file)
        })
        .await
        .map_err(|_| lost())??;
        let pieces = async_stream::stream! {
            let mut first = Some(message(&asset));
            loop {
                // Small reads of a file that was just written or shown: they come from memory.
                let mut data = Vec::with_capacity(PIECE_BYTES);
                if file.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut data).is_err() {
                    yield Err(lost());
                    return;
                }
                if data.is_empty() && first.is_none() {
                    return;
                }
                yield Ok(v1::ReadAssetResponse { asset: first.take(), data });
            }
        };
        Ok(Response::new(bounded(pieces, self.shutdown.clone())))
    }

    async fn upload_asset(&self, request: Request<v1::UploadAssetRequest>) -> Result<Response<v1::Asset>, Status> {
        let data = request.into_inner().data;
        if data.len() > LARGEST_UPLOAD_BYTES {
            let problem = format!("{} bytes are more than {LARGEST_UPLOAD_BYTES}", data.len());
            return Err(invalid("data", problem));
        }
        self.keep(data).await
    }

    async fn upload_asset_parts(
        &self,
        request: Request<Streaming<v1::UploadAssetPartsRequest>>,
    ) -> Result<Response<v1::Asset>, Status> {
        let mut parts = request.into_inner();
        let (mut data, mut taken) = (Vec::new(), self.room.for_one());
        while let Some(v1::UploadAssetPartsRequest { part }) = parts.message().await? {
            if data.len() + part.len() > LARGEST_PICTURE_BYTES {
                return Err(invalid("part", format!("more than {LARGEST_PICTURE_BYTES} bytes came")));
            }
            taken.more(part.len()).map_err(|failure| failure_status(&failure))?;
            data.extend(part);
        }
        self.keep(data).await
    }
}
