//! The operations that take the time, on the CPU, in f32: candle's own gather whole pictures into one buffer, compute one
//! exponential after the other, and wait for all threads after every addition.
//!
//! Each is a plain function over slices, compiled for every instruction set that `pulp` knows and chosen when it runs, and
//! a `CustomOp` around it. Matrix products are those of the `gemm` crate, as in candle. What a function writes is cut into
//! pieces that lie apart, so that threads share nothing; which thread writes what changes no result.

mod activate;
mod attention;
mod conv;
mod exp;
mod matmul;
mod norm;

pub(super) use activate::{Activation, activate, gated_gelu};
pub(super) use attention::{QUERIES, attention};
pub(super) use conv::{BAND_VALUES, conv2d};
pub(super) use matmul::linear;
pub(super) use norm::{group_norm, layer_norm};

use candle_core::{CpuStorage, Layout, Result};

/// Work below this many multiplications or exponentials is not worth waking another thread for.
const WORTH_A_THREAD: usize = 1 << 16;

/// The values of a tensor that lies in one piece.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&storage.as_slice::<f32>()?[from..to]),
        None => {
            candle_core::bail!("an operation of the CPU got a view {:?} that does not lie in one piece", layout.shape())
        }
    }
}

/// Compiles `work` for every instruction set and runs that of this processor.
#[inline]
fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    struct Work<F>(F);
    impl<R, F: FnOnce() -> R> pulp::NullaryFnOnce for Work<F> {
        type Output = R;

        #[inline(always)]
        fn call(self) -> R {
            (self.0)()
        }
    }
    pulp::Arch::new().dispatch(Work(work))
}
