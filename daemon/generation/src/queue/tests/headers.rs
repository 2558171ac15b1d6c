//! A look at headers for generators that are asked for pictures alone.

use paintbox_domain::generation::{Adapter, Capabilities, Inspector, ModelFile};
use paintbox_domain::{ErrorClass, Failure, reason};

pub(super) struct NobodyAsks;

impl Inspector for NobodyAsks {
    fn capabilities(&self, _model: &[ModelFile]) -> Result<Capabilities, Failure> {
        Err(Failure::new(ErrorClass::Unsupported, reason::UNSUPPORTED_ARCHITECTURE, "not asked in these tests"))
    }

    fn misfits(&self, model: &[ModelFile], _adapters: &[Adapter]) -> Result<Vec<Option<Failure>>, Failure> {
        self.capabilities(model).map(|_| Vec::new())
    }
}
