//! Pictures inside a terminal, by the three protocols that need no answer from it: kitty's
//! (<https://sw.kovidgoyal.net/kitty/graphics-protocol/>), iTerm2's (<https://iterm2.com/documentation-images.html>), and
//! sixel (<https://vt100.net/docs/vt3xx-gp/chapter14.html>).
//!
//! Which one a terminal speaks is told by what it says of itself in the environment, or by who knows better, in
//! `PAINTBOX_PICTURES`. It is never asked, because one that does not understand the question answers with nothing, or with
//! letters in the next command line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use icy_sixel::SixelImage;
use image::codecs::png::PngEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use std::io::Cursor;

/// Kitty takes at most so much of a picture at once.
const CHUNK_BYTES: usize = 4096;
/// A thumbnail is 512 pixels wide at most; more is none.
const LONGEST_SIDE_PX: u32 = 2048;
const MOST_BYTES: u64 = 64 << 20;

/// Where a terminal does not tell how wide a column is: as on the VT340, whose cells were 10×20.
const COLUMN_PX: u32 = 10;
/// The first release of Konsole with sixel, as `KONSOLE_VERSION` writes 22.04.0
/// (<https://konsole.kde.org/changelog.html>).
const KONSOLE_WITH_SIXEL: u32 = 220_400;

/// How a terminal wants pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Kitty,
    Iterm,
    /// Counts in pixels, and so has to be told how many a column takes.
    Sixel {
        column_px: u32,
    },
}

impl Protocol {
    /// What a terminal speaks, by its environment. None inside tmux and screen, which by themselves pass on none of them.
    pub(crate) fn of(variable: impl Fn(&str) -> Option<String>, column_px: Option<u32>) -> Option<Self> {
        let sixel = Self::Sixel { column_px: column_px.unwrap_or(COLUMN_PX) };
        match variable("PAINTBOX_PICTURES").as_deref() {
            Some("kitty") => return Some(Self::Kitty),
            Some("iterm") => return Some(Self::Iterm),
            Some("sixel") => return Some(sixel),
            Some("none") => return None,
            _ => {}
        }
        let term = variable("TERM").unwrap_or_default();
        if variable("TMUX").is_some() || term.starts_with("screen") || term.starts_with("tmux") {
            return None;
        }
        match variable("TERM_PROGRAM").as_deref() {
            Some("ghostty" | "WezTerm") => return Some(Self::Kitty),
            Some("iTerm.app") => return Some(Self::Iterm),
            _ => {}
        }
        if term == "xterm-kitty" || term == "xterm-ghostty" || variable("KITTY_WINDOW_ID").is_some() {
            return Some(Self::Kitty);
        }
        if ["foot", "mlterm", "contour"].iter().any(|speaks| term.starts_with(speaks)) {
            return Some(sixel);
        }
        let konsole = variable("KONSOLE_VERSION").and_then(|version| version.parse::<u32>().ok());
        if konsole.is_some_and(|version| version >= KONSOLE_WITH_SIXEL) {
            return Some(sixel);
        }
        // Kept by ssh, where TERM_PROGRAM is not.
        (variable("LC_TERMINAL").as_deref() == Some("iTerm2")).then_some(Self::Iterm)
    }

    /// What draws a picture so many columns wide, with the cursor behind it. None for what is no PNG or WebP of a
    /// thumbnail's size.
    pub(crate) fn draw(self, picture: &[u8], columns: u32) -> Option<String> {
        let picture = thumbnail(picture)?;
        match self {
            Self::Kitty => Some(kitty(&STANDARD.encode(as_png(&picture)?), columns)),
            Self::Iterm => {
                let png = as_png(&picture)?;
                let text = STANDARD.encode(&png);
                let size = png.len();
                Some(format!("\x1b]1337;File=inline=1;size={size};width={columns};preserveAspectRatio=1:{text}\x07"))
            }
            Self::Sixel { column_px } => sixel(&picture, columns.saturating_mul(column_px)),
        }
    }
}

/// `a=T` sends and shows, `f=100` is PNG, `c` is columns, `q=2` forbids an answer, and `m=1` says that more follows.
fn kitty(text: &str, columns: u32) -> String {
    let mut drawn = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.len().min(CHUNK_BYTES));
        let head = if drawn.is_empty() { format!("a=T,f=100,c={columns},q=2,") } else { String::new() };
        drawn.push_str(&format!("\x1b_G{head}m={};{chunk}\x1b\\", u8::from(!after.is_empty())));
        rest = after;
    }
    drawn
}

/// As wide as that, and lower than twice as wide.
fn sixel(picture: &DynamicImage, width_px: u32) -> Option<String> {
    let width_px = width_px.clamp(1, LONGEST_SIDE_PX);
    let fitted = picture.resize(width_px, width_px.saturating_mul(2), FilterType::Triangle).into_rgba8();
    let (width, height) = (usize::try_from(fitted.width()).ok()?, usize::try_from(fitted.height()).ok()?);
    SixelImage::try_from_rgba(fitted.into_raw(), width, height).ok()?.encode().ok()
}

fn thumbnail(picture: &[u8]) -> Option<DynamicImage> {
    let mut reader = ImageReader::new(Cursor::new(picture)).with_guessed_format().ok()?;
    if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::WebP)) {
        return None;
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST_SIDE_PX);
    limits.max_image_height = Some(LONGEST_SIDE_PX);
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    reader.decode().ok()
}

/// Every terminal that shows pictures of files shows PNG; WebP only some.
fn as_png(picture: &DynamicImage) -> Option<Vec<u8>> {
    let mut png = Vec::new();
    picture.write_with_encoder(PngEncoder::new(&mut png)).ok()?;
    Some(png)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;
    use image::codecs::webp::WebPEncoder;

    const SIXEL: Protocol = Protocol::Sixel { column_px: COLUMN_PX };

    fn webp(side: u32) -> Vec<u8> {
        // Noise, so that it takes several chunks.
        let mut state = 1_u32;
        let image = RgbImage::from_fn(side, side, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            image::Rgb([state.to_be_bytes()[0], state.to_be_bytes()[1], 7])
        });
        let mut bytes = Vec::new();
        DynamicImage::from(image).write_with_encoder(WebPEncoder::new_lossless(&mut bytes)).unwrap();
        bytes
    }

    fn of(variables: &[(&str, &str)]) -> Option<Protocol> {
        let value =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Protocol::of(value, None)
    }

    #[test]
    fn terminals_are_known_by_what_they_say_of_themselves() {
        for (variables, wanted) in [
            (&[("TERM", "xterm-256color")][..], None),
            (&[("TERM", "xterm-kitty")], Some(Protocol::Kitty)),
            (&[("TERM", "xterm-256color"), ("KITTY_WINDOW_ID", "1")], Some(Protocol::Kitty)),
            (&[("TERM_PROGRAM", "ghostty")], Some(Protocol::Kitty)),
            (&[("TERM_PROGRAM", "iTerm.app")], Some(Protocol::Iterm)),
            (&[("LC_TERMINAL", "iTerm2")], Some(Protocol::Iterm)),
            (&[("TERM_PROGRAM", "Apple_Terminal")], None),
            (&[("TERM", "foot")], Some(SIXEL)),
            (&[("TERM", "mlterm-256color")], Some(SIXEL)),
            (&[("TERM", "xterm-256color"), ("KONSOLE_VERSION", "220401")], Some(SIXEL)),
            (&[("TERM", "xterm-256color"), ("KONSOLE_VERSION", "211203")], None),
            (&[("TERM", "xterm-256color"), ("PAINTBOX_PICTURES", "sixel")], Some(SIXEL)),
            (&[("TMUX", "/tmp/x"), ("PAINTBOX_PICTURES", "kitty")], Some(Protocol::Kitty)),
            (&[("TERM", "xterm-kitty"), ("PAINTBOX_PICTURES", "none")], None),
            (&[("TERM", "tmux-256color"), ("KITTY_WINDOW_ID", "1")], None),
            (&[("TERM", "screen"), ("LC_TERMINAL", "iTerm2")], None),
            (&[("TMUX", "/tmp/x"), ("TERM_PROGRAM", "iTerm.app")], None),
        ] {
            assert_eq!(of(variables), wanted, "{variables:?}");
        }
    }

    #[test]
    fn a_picture_is_sent_whole_and_as_png() {
        let webp = webp(64);
        let kitty = Protocol::Kitty.draw(&webp, 32).unwrap();
        assert!(kitty.starts_with("\x1b_Ga=T,f=100,c=32,q=2,m=1;") && kitty.ends_with("\x1b\\"), "{kitty:.60}");
        let chunks: Vec<&str> = kitty.split("\x1b\\").filter(|chunk| !chunk.is_empty()).collect();
        let text: String = chunks.iter().map(|chunk| chunk.split_once(';').unwrap().1).collect();
        assert!(chunks.len() > 1 && chunks.iter().all(|chunk| chunk.split_once(';').unwrap().1.len() <= CHUNK_BYTES));
        assert!(chunks.last().unwrap().starts_with("\x1b_Gm=0;"));
        let png = STANDARD.decode(text).unwrap();
        let wanted = image::load_from_memory(&webp).unwrap();
        assert_eq!(image::load_from_memory_with_format(&png, ImageFormat::Png).unwrap(), wanted);
        let iterm = Protocol::Iterm.draw(&webp, 32).unwrap();
        let wanted = format!("\x1b]1337;File=inline=1;size={};width=32;", png.len());
        assert!(iterm.starts_with(&wanted) && iterm.ends_with('\x07'), "{iterm:.60}");
    }

    #[test]
    fn sixel_is_drawn_as_wide_as_its_columns() {
        let image =
            RgbImage::from_fn(20, 30, |x, _| if x < 10 { image::Rgb([250, 5, 5]) } else { image::Rgb([5, 5, 250]) });
        let mut png = Vec::new();
        DynamicImage::from(image).write_with_encoder(PngEncoder::new(&mut png)).unwrap();
        let drawn = Protocol::Sixel { column_px: 5 }.draw(&png, 8).unwrap();
        assert!(drawn.starts_with("\x1bP") && drawn.ends_with("\x1b\\"), "{drawn:.60}");
        let decoded = SixelImage::decode(drawn.as_bytes()).unwrap();
        assert_eq!((decoded.width, decoded.height), (40, 60));
        let pixel = |x: usize, y: usize| &decoded.pixels[(y * 40 + x) * 4..][..3];
        for y in [0, 30, 59] {
            let (left, right) = (pixel(4, y), pixel(35, y));
            assert!(left[0] > 200 && left[2] < 50, "{left:?}");
            assert!(right[0] < 50 && right[2] > 200, "{right:?}");
        }
    }

    #[test]
    fn what_is_no_thumbnail_is_not_drawn() {
        for bytes in [&b"\x89PNG, as far as anybody here is concerned"[..], b"", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"]
        {
            assert_eq!(Protocol::Kitty.draw(bytes, 32), None);
        }
        assert_eq!(Protocol::Iterm.draw(&webp(LONGEST_SIDE_PX + 1), 32), None);
    }
}
