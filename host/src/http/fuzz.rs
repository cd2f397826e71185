//! What is fuzzed of HTTP: compressed bodies. [`expand`] takes any bytes and stops at a property that does not hold.
//!
//! Owns the properties, and a second reading of gzip to compare with: as RFC 1951 and RFC 1952 have it, a bit at a time, and sharing
//! nothing with the one that requests go through. Built for tests, which replay the inputs that are kept in `host/fuzz/testdata`, and
//! with the feature `fuzzing` for libFuzzer (`host/fuzz/targets/expand.rs`).

use std::io::Write as _;

use axum::http::StatusCode;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::body::{self, BODY_BYTES_LIMIT, EXPANSION_LIMIT};

/// The bytes before what is compressed, of which most mutations break one: what they say of the file is not looked at.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// The bytes behind it: a checksum and the length.
const TRAILER_BYTES: usize = 8;

/// A compressed body. What it becomes is within the limit and is what the second reading makes of it, or it is refused: with 413 for what is
/// larger and with 400 for what is broken, ends too early or goes on after its end.
///
/// The first byte says what the others from the fourth on are: `d` for compressed data without what is around it, so that changes of it are
/// read and not stopped by a checksum, `t` for what is compressed first, and anything else for a body as it comes. The second and the third
/// are the limit; all of their bits stand for that of most requests.
pub fn expand(data: &[u8]) {
    let Some((&[kind, low, high], given)) = data.split_first_chunk() else { return };
    let limit = match u16::from_le_bytes([low, high]) {
        u16::MAX => BODY_BYTES_LIMIT,
        limit => limit.into(),
    };
    match kind {
        b't' => round_trip(given),
        b'd' => {
            let whole = [&HEADER[..], given, &trailer(&[])].concat();
            match read(&whole, limit) {
                // Where it ends is known when it is read, and its checksum then as well.
                Reading::Whole { expanded, end } | Reading::WrongSum { expanded, end } => {
                    as_read(&[&whole[..end - TRAILER_BYTES], &trailer(&expanded)].concat(), limit);
                }
                Reading::Larger | Reading::Broken => as_read(&whole, limit),
            }
        }
        _ => as_read(given, limit),
    }
}

/// What is accepted or refused as the second reading says; and with whatever is wrong with the end of what is accepted, refused.
fn as_read(compressed: &[u8], limit: usize) {
    let allowed = limit.min(BODY_BYTES_LIMIT.max(compressed.len() * EXPANSION_LIMIT));
    let found = body::expand(compressed, limit);
    if let Ok(expanded) = &found {
        assert!(expanded.len() <= allowed, "{} bytes of {allowed}", expanded.len());
    }
    match read(compressed, allowed) {
        Reading::Whole { expanded, end } if end == compressed.len() => {
            assert!(found.is_ok_and(|found| found == expanded), "{} bytes are taken as they are", expanded.len());
            let (data, sums) = compressed.split_at(end - TRAILER_BYTES);
            for length in [0, data.len() / 2, data.len(), end - 1] {
                is_refused(&compressed[..length], limit, "cut");
            }
            is_refused(&[compressed, b"\0"].concat(), limit, "longer");
            is_refused(&[compressed, compressed].concat(), limit, "twice");
            for at in 0..TRAILER_BYTES {
                let mut wrong = sums.to_vec();
                wrong[at] ^= 1;
                is_refused(&[data, &wrong].concat(), limit, "of another sum");
            }
        }
        Reading::Whole { .. } | Reading::WrongSum { .. } => {
            assert_eq!(found.err().map(|error| error.status()), Some(StatusCode::BAD_REQUEST))
        }
        // What is too large may be broken further on, and is not read to its end to tell.
        Reading::Larger | Reading::Broken => is_refused(compressed, limit, "too large or broken"),
    }
}

/// What is compressed here becomes what it was, to the last byte that is allowed, and is refused from the next one on.
fn round_trip(given: &[u8]) {
    for level in [Compression::none(), Compression::fast(), Compression::best()] {
        let mut encoder = GzEncoder::new(Vec::new(), level);
        let compressed = encoder.write_all(given).and_then(|()| encoder.finish()).expect("memory can be written");
        as_read(&compressed, given.len());
        if let Some(less) = given.len().checked_sub(1) {
            assert_eq!(body::expand(&compressed, less).err().map(|error| error.status()), Some(StatusCode::PAYLOAD_TOO_LARGE));
        }
    }
}

fn is_refused(compressed: &[u8], limit: usize, why: &str) {
    let status = body::expand(compressed, limit).err().map(|error| error.status());
    assert!(matches!(status, Some(StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE)), "{why}: {status:?}");
}

fn trailer(expanded: &[u8]) -> [u8; TRAILER_BYTES] {
    let mut sum = u32::MAX;
    for byte in expanded {
        sum ^= u32::from(*byte);
        for _ in 0..u8::BITS {
            sum = (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    // RFC 1952: the length modulo 2³².
    let length = u32::try_from(expanded.len() & 0xffff_ffff).expect("what is more was cut off");
    let mut trailer = [0; TRAILER_BYTES];
    trailer[..4].copy_from_slice(&(!sum).to_le_bytes());
    trailer[4..].copy_from_slice(&length.to_le_bytes());
    trailer
}

/// What the second reading makes of some bytes.
enum Reading {
    /// They are gzip up to some byte.
    Whole { expanded: Vec<u8>, end: usize },
    /// They are, but for the checksum or the length.
    WrongSum { expanded: Vec<u8>, end: usize },
    /// They become more than is allowed, and may be anything from there on.
    Larger,
    /// They are no gzip, or end too early.
    Broken,
}

/// Reads gzip, of which the first member counts.
fn read(bytes: &[u8], allowed: usize) -> Reading {
    let mut expanded = Vec::new();
    let read = header(bytes).and_then(|start| {
        let mut bits = Bits { bytes, at: start * 8 };
        while !block(&mut bits, &mut expanded, allowed)? {}
        let end = bits.at.div_ceil(8);
        Some((end + TRAILER_BYTES, bytes.get(end..end + TRAILER_BYTES)?))
    });
    match read {
        _ if expanded.len() > allowed => Reading::Larger,
        Some((end, sums)) if sums == trailer(&expanded) => Reading::Whole { expanded, end },
        Some((end, _)) => Reading::WrongSum { expanded, end },
        None => Reading::Broken,
    }
}

/// Where what is compressed begins (RFC 1952 §2.3).
fn header(bytes: &[u8]) -> Option<usize> {
    const HAS_SUM: u8 = 1 << 1;
    const HAS_EXTRA: u8 = 1 << 2;
    const TEXTS: [u8; 2] = [1 << 3, 1 << 4];
    const RESERVED: u8 = 0b1110_0000;
    let [0x1f, 0x8b, 8, flags, ..] = *bytes.first_chunk::<{ HEADER.len() }>()? else { return None };
    if flags & RESERVED != 0 {
        return None;
    }
    let mut at = HEADER.len();
    let two = |at: usize| bytes.get(at..at + 2).map(|two| u16::from_le_bytes([two[0], two[1]]));
    if flags & HAS_EXTRA != 0 {
        at += 2 + usize::from(two(at)?);
    }
    for text in TEXTS {
        if flags & text != 0 {
            at += bytes.get(at..)?.iter().position(|byte| *byte == 0)? + 1;
        }
    }
    if flags & HAS_SUM != 0 {
        let sum = trailer(bytes.get(..at)?);
        if two(at)?.to_le_bytes() != sum[..2] {
            return None;
        }
        at += 2;
    }
    (at <= bytes.len()).then_some(at)
}

/// Bits, of each byte the least first (RFC 1951 §3.1.1).
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn next(&mut self) -> Option<usize> {
        let bit = usize::from(self.bytes.get(self.at / 8)? >> (self.at % 8)) & 1;
        self.at += 1;
        Some(bit)
    }

    fn number(&mut self, bits: usize) -> Option<usize> {
        (0..bits).try_fold(0, |number, bit| Some(number | self.next()? << bit))
    }
}

/// A Huffman code: how many symbols have each length, and the symbols in order (RFC 1951 §3.2.2).
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    /// The code with these lengths. It has no bits over, but that one symbol or none may be all there is where `lone` says so: as RFC 1951
    /// §3.2.7 has it of distances, and zlib of literals too.
    fn new(lengths: &[usize], lone: bool) -> Option<Self> {
        let mut counts = [0; 16];
        lengths.iter().for_each(|length| counts[*length] += 1);
        counts[0] = 0;
        let left = counts[1..].iter().try_fold(1_usize, |left, count| (left * 2).checked_sub(*count))?;
        let longest = lengths.iter().copied().max().unwrap_or(0);
        if left > 0 && !(lone && longest <= 1) {
            return None;
        }
        let of_length = |length| (0..lengths.len()).filter(move |symbol| lengths[*symbol] == length);
        Some(Self { counts, symbols: (1..16).flat_map(of_length).collect() })
    }

    fn symbol(&self, bits: &mut Bits<'_>) -> Option<usize> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in &self.counts[1..] {
            code |= bits.next()?;
            if code < first + count {
                return Some(self.symbols[index + code - first]);
            }
            index += count;
            first = (first + count) * 2;
            code *= 2;
        }
        None
    }
}

/// Reads a block and says whether it is the last one. Nothing where it is broken or more than is allowed was read.
fn block(bits: &mut Bits<'_>, to: &mut Vec<u8>, allowed: usize) -> Option<bool> {
    let is_last = bits.next()? == 1;
    match bits.number(2)? {
        0 => stored(bits, to, allowed)?,
        1 => {
            let lengths: Vec<usize> =
                (0..288).map(|symbol| [8, 9, 7, 8][[144, 256, 280].iter().filter(|from| symbol >= **from).count()]).collect();
            data(bits, &Code::new(&lengths, false)?, &Code::new(&[5; 32], false)?, to, allowed)?;
        }
        2 => {
            let (literals, distances) = codes(bits)?;
            data(bits, &literals, &distances, to, allowed)?;
        }
        _ => return None,
    }
    Some(is_last)
}

fn stored(bits: &mut Bits<'_>, to: &mut Vec<u8>, allowed: usize) -> Option<()> {
    bits.at = bits.at.next_multiple_of(8);
    let (length, inverse) = (bits.number(16)?, bits.number(16)?);
    if length != inverse ^ 0xffff {
        return None;
    }
    for _ in 0..length {
        to.push(u8::try_from(bits.number(8)?).ok()?);
        if to.len() > allowed {
            return None;
        }
    }
    Some(())
}

/// The codes that a block brings along (RFC 1951 §3.2.7).
fn codes(bits: &mut Bits<'_>) -> Option<(Code, Code)> {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let (literals, distances, given) = (257 + bits.number(5)?, 1 + bits.number(5)?, 4 + bits.number(4)?);
    if literals > 286 || distances > 30 {
        return None;
    }
    let mut of_lengths = [0; 19];
    for symbol in &ORDER[..given] {
        of_lengths[*symbol] = bits.number(3)?;
    }
    let code = Code::new(&of_lengths, false)?;
    let mut lengths: Vec<usize> = Vec::new();
    while lengths.len() < literals + distances {
        let (length, times) = match code.symbol(bits)? {
            16 => (*lengths.last()?, 3 + bits.number(2)?),
            17 => (0, 3 + bits.number(3)?),
            18 => (0, 11 + bits.number(7)?),
            length => (length, 1),
        };
        lengths.extend(std::iter::repeat_n(length, times));
    }
    if lengths.len() > literals + distances {
        return None;
    }
    Some((Code::new(&lengths[..literals], true)?, Code::new(&lengths[literals..], true)?))
}

/// What is compressed with two codes (RFC 1951 §3.2.5).
fn data(bits: &mut Bits<'_>, literals: &Code, distances: &Code, to: &mut Vec<u8>, allowed: usize) -> Option<()> {
    /// The first length or distance of each symbol, and how many bits follow it.
    fn table(symbols: usize, first: usize, plain: usize, each: usize) -> Vec<(usize, usize)> {
        let extra = |symbol: usize| symbol.saturating_sub(plain - each) / each;
        (0..symbols).scan(first, |next, symbol| Some((std::mem::replace(next, *next + (1 << extra(symbol))), extra(symbol)))).collect()
    }
    let mut lengths = table(28, 3, 8, 4);
    // The longest has a symbol of its own.
    lengths.push((258, 0));
    let far = table(30, 1, 4, 2);
    loop {
        match literals.symbol(bits)? {
            256 => return Some(()),
            literal @ 0..256 => to.push(u8::try_from(literal).ok()?),
            symbol => {
                let (length, extra) = *lengths.get(symbol - 257)?;
                let length = length + bits.number(extra)?;
                let (distance, extra) = *far.get(distances.symbol(bits)?)?;
                let distance = distance + bits.number(extra)?;
                // RFC 1951 has nothing before the start. The usual decoders with a window that is full of zeros from the start take it for
                // those; and what has a zero in it is no JSON, so that it is refused a step later.
                (0..length).for_each(|_| to.push(to.len().checked_sub(distance).map_or(0, |at| to[at])));
            }
        }
        if to.len() > allowed {
            return None;
        }
    }
}

#[cfg(test)]
mod tests;
