//! Blurhash: a picture as some thirty characters, enough for a coloured blur in its place.
//!
//! Written after `Algorithm.md` of github woltapp/blurhash (commit 142966b). How components are normalised and rounded is
//! that repository's encoder's way, which the document does not tell: cosines over `x / width` without half a pixel,
//! alternating components doubled, quantised by `floor(value × 166 - 0.5)`.

use super::{Pixels, Preview};
use std::f64::consts::PI;

/// Components across and down. CivitAI's own hashes have as many.
const COMPONENTS: usize = 4;
const DIGITS: &[u8; 83] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";

/// Red, green and blue, linear in light.
type Color = [f64; 3];

/// The blurhash of a picture, over white where it is transparent. Work goes with the pixels: give it a thumbnail.
pub(super) fn of(picture: &Preview) -> String {
    let components = components(picture);
    let [average, details @ ..] = &components[..] else { return String::new() };
    let strongest = details.iter().flatten().fold(0.0_f64, |strongest, value| strongest.max(value.abs()));
    let strongest_step = (strongest * 166.0 - 0.5).floor().clamp(0.0, 82.0);
    let scale = (strongest_step + 1.0) / 166.0;

    let mut hash = String::new();
    push_digits(&mut hash, (COMPONENTS - 1) + (COMPONENTS - 1) * 9, 1);
    push_digits(&mut hash, whole(strongest_step), 1);
    push_digits(&mut hash, average.iter().fold(0, |number, value| number * 256 + srgb_from_linear(*value)), 4);
    for detail in details {
        let step =
            |value: &f64| whole(((value / scale).abs().sqrt().copysign(*value) * 9.0 + 9.5).floor().clamp(0.0, 18.0));
        push_digits(&mut hash, detail.iter().fold(0, |number, value| number * 19 + step(value)), 2);
    }
    hash
}

/// The cosine transform, row by row: first the average, then across before down.
fn components(picture: &Preview) -> [Color; COMPONENTS * COMPONENTS] {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let linear: [f64; 256] = std::array::from_fn(|value| linear_from_srgb(value as f64 / 255.0));
    let across = waves(width);
    let mut sums = [[0.0; 3]; COMPONENTS * COMPONENTS];
    for (y, down) in waves(height).into_iter().enumerate() {
        let mut row = [[0.0; 3]; COMPONENTS];
        for (x, waves) in across.iter().enumerate() {
            let color = over_white(&picture.pixels, y * width + x).map(|value| linear[usize::from(value)]);
            for (sum, wave) in row.iter_mut().zip(waves) {
                add(sum, color, *wave);
            }
        }
        for (sum, (j, i)) in sums.iter_mut().zip((0..COMPONENTS).flat_map(|j| (0..COMPONENTS).map(move |i| (j, i)))) {
            add(sum, row[i], down[j]);
        }
    }
    let pixels = (width * height) as f64;
    for (at, sum) in sums.iter_mut().enumerate() {
        let weight = if at == 0 { 1.0 } else { 2.0 };
        *sum = sum.map(|value| value * weight / pixels);
    }
    sums
}

/// For each place of `length`, each component's cosine there.
fn waves(length: usize) -> Vec<[f64; COMPONENTS]> {
    (0..length)
        .map(|place| std::array::from_fn(|component| (PI * component as f64 * place as f64 / length as f64).cos()))
        .collect()
}

fn add(sum: &mut Color, color: Color, weight: f64) {
    for (sum, value) in sum.iter_mut().zip(color) {
        *sum += value * weight;
    }
}

fn over_white(pixels: &Pixels, at: usize) -> [u8; 3] {
    match pixels {
        Pixels::Rgb8(bytes) => [bytes[3 * at], bytes[3 * at + 1], bytes[3 * at + 2]],
        Pixels::Rgba8(bytes) => {
            let alpha = u16::from(bytes[4 * at + 3]);
            [0, 1, 2].map(|channel| {
                let value = u16::from(bytes[4 * at + channel]);
                u8::try_from((value * alpha + 255 * (255 - alpha) + 127) / 255).unwrap_or(u8::MAX)
            })
        }
    }
}

/// IEC 61966-2-1, both ways, from and to 0…1 and 0…255.
fn linear_from_srgb(value: f64) -> f64 {
    if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
}

fn srgb_from_linear(value: f64) -> usize {
    let value = value.clamp(0.0, 1.0);
    let curved = if value <= 0.003_130_8 { value * 12.92 } else { 1.055 * value.powf(1.0 / 2.4) - 0.055 };
    whole(curved * 255.0 + 0.5)
}

/// The whole part of a small number that is not negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "callers give numbers between 0 and 256")]
fn whole(value: f64) -> usize {
    value as usize
}

fn push_digits(hash: &mut String, number: usize, count: u32) {
    hash.extend((0..count).rev().map(|place| char::from(DIGITS[number / 83_usize.pow(place) % 83])));
}

#[cfg(test)]
mod tests {
    use super::super::PreviewFormat;
    use super::*;

    fn hash(width: u32, height: u32, color: impl Fn(u32, u32) -> [u32; 3]) -> String {
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let pixels = places.flat_map(|(x, y)| color(x, y)).map(|value| u8::try_from(value).unwrap()).collect();
        of(&Preview { format: PreviewFormat::Png, width, height, pixels: Pixels::Rgb8(pixels) })
    }

    /// What woltapp's encoder in C says of the same pixels (PyPI `blurhash-python` 1.2.2, which wraps it). The one in
    /// TypeScript takes no negative component for the strongest, and clips them.
    #[test]
    fn hashes_are_those_of_the_reference() {
        assert_eq!(hash(64, 48, |x, y| [x * 255 / 64, y * 255 / 48, 90]), "UzHB|i2Y$5Sgl|azjtf7gcfjfQfjnSa|jtfQ");
        assert_eq!(hash(16, 16, |_, _| [0; 3]), "U00000fQfQfQfQfQfQfQfQfQfQfQfQfQfQfQ");
        assert_eq!(hash(16, 16, |_, _| [255; 3]), "UKTSUA~qfQ~q~qoffQoffQfQfQfQ~qoffQof");
        assert_eq!(
            hash(100, 60, |x, y| [(x * 7 + y * 13) % 256, x * y % 256, x ^ y]),
            "U9HU]Lq?ZtrLvORDixRjZoa4V^aivoRRnmSe"
        );
        assert_eq!(
            hash(40, 30, |x, _| if x < 20 { [255, 0, 0] } else { [0, 0, 255] }),
            "U~LjfL|TsRJro3n~jsa}fQfQfQfQo3n~jsa}"
        );
        assert_eq!(hash(1, 1, |_, _| [10, 200, 30]), "U~1JlBl#l#l#l#l#l#l#l#l#l#l#l#l#l#l#");
    }

    #[test]
    fn what_is_transparent_is_white() {
        let picture = |pixels| of(&Preview { format: PreviewFormat::Png, width: 2, height: 1, pixels });
        let clear = picture(Pixels::Rgba8(vec![9, 8, 7, 255, 0, 99, 0, 0]));
        assert_eq!(clear, picture(Pixels::Rgb8(vec![9, 8, 7, 255, 255, 255])));
    }
}
