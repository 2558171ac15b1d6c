//! Edges (Canny 1986) as OpenCV 5 finds them: `cv2.Canny(image, low, high)` with Sobel's 3×3 kernels and |dx| + |dy| for
//! the steepness, of each pixel's steepest channel (`modules/imgproc/src/canny.cpp`).

use super::{Mask, Rgb};
use paintbox_domain::generation::Canny;

/// tan 22.5° in fixed point, and its fraction bits.
const TANGENT: i64 = 13_573;
const BITS: u32 = 15;

/// How steep a picture is at a pixel, and where to.
#[derive(Debug, Clone, Copy, Default)]
struct Slope {
    across: i32,
    down: i32,
}

impl Slope {
    const fn steepness(self) -> i32 {
        self.across.abs() + self.down.abs()
    }
}

/// 255 where there is an edge, 0 elsewhere.
pub(crate) fn canny(picture: &Rgb, thresholds: Canny) -> Mask {
    let (width, height) = (picture.width as isize, picture.height as isize);
    let slopes: Vec<Slope> =
        (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| slope(picture, x, y)).collect();
    // Beyond the picture everything is flat.
    let steepness = |x: isize, y: isize| -> i32 {
        let is_inside = (0..width).contains(&x) && (0..height).contains(&y);
        if is_inside { slopes[(y * width + x) as usize].steepness() } else { 0 }
    };
    let limit = |threshold: u32| i32::try_from(threshold).unwrap_or(i32::MAX);
    let (low, high) = (limit(thresholds.low), limit(thresholds.high));
    let is_ridge = |x: isize, y: isize| -> bool {
        let Slope { across, down } = slopes[(y * width + x) as usize];
        let here = steepness(x, y);
        let (level, upright) = (i64::from(across.abs()), i64::from(down.abs()) << BITS);
        let flat = level * TANGENT;
        if upright < flat {
            return here > steepness(x - 1, y) && here >= steepness(x + 1, y);
        }
        // tan 67.5° is tan 22.5° and two.
        if upright > flat + (level << (BITS + 1)) {
            return here > steepness(x, y - 1) && here >= steepness(x, y + 1);
        }
        let side = if (across ^ down) < 0 { -1 } else { 1 };
        here > steepness(x - side, y - 1) && here > steepness(x + side, y + 1)
    };
    let mut edges = Mask { width: picture.width, height: picture.height, bytes: vec![0; slopes.len()] };
    let mut candidates = vec![false; slopes.len()];
    let mut open = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let at = (y * width + x) as usize;
            if steepness(x, y) > low && is_ridge(x, y) {
                candidates[at] = true;
                if steepness(x, y) > high {
                    edges.bytes[at] = u8::MAX;
                    open.push((x, y));
                }
            }
        }
    }
    // What hangs together with an edge is one.
    while let Some((x, y)) = open.pop() {
        for (x, y) in (-1..=1).flat_map(|j| (-1..=1).map(move |i| (x + i, y + j))) {
            if !(0..width).contains(&x) || !(0..height).contains(&y) {
                continue;
            }
            let at = (y * width + x) as usize;
            if candidates[at] && edges.bytes[at] == 0 {
                edges.bytes[at] = u8::MAX;
                open.push((x, y));
            }
        }
    }
    edges
}

/// By Sobel's kernels, of the channel where it is steepest; the first of several. Edge pixels are repeated.
fn slope(picture: &Rgb, x: isize, y: isize) -> Slope {
    let at = |i: isize, j: isize, channel: usize| i32::from(picture.pixel(x + i, y + j)[channel]);
    let of = |channel: usize| {
        let at = |i: isize, j: isize| at(i, j, channel);
        Slope {
            across: at(1, -1) + 2 * at(1, 0) + at(1, 1) - at(-1, -1) - 2 * at(-1, 0) - at(-1, 1),
            down: at(-1, 1) + 2 * at(0, 1) + at(1, 1) - at(-1, -1) - 2 * at(0, -1) - at(1, -1),
        }
    };
    let steeper = |best: Slope, next: Slope| if next.steepness() > best.steepness() { next } else { best };
    [of(1), of(2)].into_iter().fold(of(0), steeper)
}
