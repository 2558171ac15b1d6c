//! `AssetService`: one picture for every name, and uploads that are counted and forgotten.

use super::{Answer, Events, Fake, PICTURE, answer, events};
use paintbox_proto::v1;
use tonic::{Request, Status};

#[tonic::async_trait]
impl v1::asset_service_server::AssetService for Fake {
    type ReadAssetStream = Events<v1::ReadAssetResponse>;

    async fn get_asset(&self, _: Request<v1::GetAssetRequest>) -> Answer<v1::Asset> {
        Err(Status::unimplemented("the command line reads assets whole"))
    }

    async fn read_asset(&self, _: Request<v1::ReadAssetRequest>) -> Answer<Self::ReadAssetStream> {
        let part = |data: &[u8]| v1::ReadAssetResponse { asset: None, data: data.to_vec() };
        let world = self.world();
        let picture = if world.picture.is_empty() { PICTURE } else { &world.picture };
        events(vec![part(&picture[..10]), part(&picture[10..])], false)
    }

    async fn upload_asset(&self, _: Request<v1::UploadAssetRequest>) -> Answer<v1::Asset> {
        Err(Status::unimplemented("the command line uploads in parts"))
    }

    async fn upload_asset_parts(
        &self,
        request: Request<tonic::Streaming<v1::UploadAssetPartsRequest>>,
    ) -> Answer<v1::Asset> {
        let mut parts = request.into_inner();
        let mut bytes = 0;
        while let Some(part) = parts.message().await? {
            bytes += part.part.len();
        }
        self.world().uploaded_bytes = bytes;
        answer(v1::Asset { name: "assets/of-the-upload".into(), ..Default::default() })
    }
}
