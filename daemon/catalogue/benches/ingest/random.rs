//! Numbers and words that look random and are the same in every run, so that two readings of the crawl agree.

/// Syllables of the made-up words, of which there are 16 × 16 × 8 short and sixteen times as many long ones.
const STARTS: [&str; 16] =
    ["ka", "ri", "mo", "shi", "ve", "lu", "dra", "no", "ta", "el", "fi", "zo", "gre", "ya", "sun", "ber"];
const ENDS: [&str; 8] = ["n", "ra", "ko", "lis", "th", "mi", "dor", "sa"];

/// SplitMix64 (Steele, Lea, Flood 2014), enough to spread ids, digests and words.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Below `end` with a bias to the low numbers, as words and creators are used: the lowest eighth is half of all.
    pub(crate) fn skewed(&mut self, end: u64) -> u64 {
        let part = self.below(1 << 20);
        let squared = (part * part) >> 20;
        let cubed = (squared * part) >> 20;
        (cubed * end) >> 20
    }

    /// A made-up word out of `vocabulary` of them.
    pub(crate) fn word(&mut self, vocabulary: u64) -> String {
        let number = self.skewed(vocabulary);
        let mut spread = Random::new(number);
        let mut word = String::new();
        for _ in 0..2 + spread.below(2) {
            word.push_str(STARTS[index(spread.next(), STARTS.len())]);
        }
        word.push_str(ENDS[index(spread.next(), ENDS.len())]);
        word
    }

    pub(crate) fn hex(&mut self, digits: usize) -> String {
        let mut text = String::with_capacity(digits + 16);
        while text.len() < digits {
            text.push_str(&format!("{:016X}", self.next()));
        }
        text.truncate(digits);
        text
    }
}

fn index(number: u64, length: usize) -> usize {
    usize::try_from(number % length as u64).unwrap_or_default()
}
