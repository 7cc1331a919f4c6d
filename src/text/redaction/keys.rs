//! Recognisers of keys and tokens, each for the pattern in its documentation. `^` in a pattern stands for [`may_start`].
//!
//! Each returns the leftmost match that starts at or after `from`. Each seeks a rare byte first and reads only around it.
//! Bound: no byte is read more than a constant number of times, whatever the text.

use std::ops::Range;

use super::text::{at, before, continues, is_word, may_end, may_start, run, seek_any, seek_byte, seek_either};

/// The prefixes of keys that [`is_token`] recognises, by the byte before the prefix's last byte, which is `_`, `-` or `.`. Source: the
/// documentation of providers of models, code hosts, package registries, clouds, payment and chat services.
fn prefixes(byte: u8) -> &'static [&'static [u8]] {
    match byte {
        b'1' => &[b"tgp_v1_", b"dop_v1_", b"doo_v1_", b"dor_v1_"],
        b'8' => &[b"r8_"],
        b'9' => &[b"ya29."],
        b'K' => &[b"NRAK-", b"PMAK-"],
        b'Q' => &[b"AQ."],
        b'X' => &[b"GOCSPX-"],
        b'Y' => &[b"AGE-SECRET-KEY-"],
        b'_' => &[b"ls__"],
        b'a' => &[b"jina_", b"pa-", b"glsa_", b"xoxa-", b"shpca_", b"shppa_"],
        b'b' => &[b"e2b_", b"hvb.", b"xoxb-"],
        b'c' => &[b"fc-", b"whsec_"],
        b'd' => &[b"figd_"],
        b'e' => &[b"xoxe-"],
        b'f' => &[b"hf_"],
        b'h' => &[b"pscale_oauth_"],
        b'i' => &[b"xai-", b"nvapi-", b"pypi-", b"lin_api_"],
        b'k' => &[b"sk-", b"sk_", b"pk-", b"pk_", b"rk-", b"rk_", b"gsk_", b"csk-", b"pcsk_", b"lsv2_sk_"],
        b'm' => &[b"npm_"],
        b'n' => &[b"pscale_tkn_", b"ntn_"],
        b'o' => &[b"gho_"],
        b'p' => &[b"sbp_", b"nfp_", b"ghp_", b"xoxp-", b"xapp-", b"sq0atp-", b"sq0csp-"],
        b'r' => &[b"hvr.", b"ghr_", b"xoxr-"],
        b's' => &[b"sess-", b"sntrys_", b"hvs.", b"ghs_", b"gloas-", b"rubygems_", b"xoxs-", b"shpss_"],
        b't' => &[
            b"lsv2_pt_",
            b"sb_secret_",
            b"dp.pt.",
            b"github_pat_",
            b"gldt-",
            b"glrt-",
            b"glcbt-",
            b"glptt-",
            b"glft-",
            b"dckr_pat_",
            b"dckr_oat_",
            b"shpat_",
            b"secret_",
        ],
        b'u' => &[b"sntryu_", b"ghu_"],
        b'w' => &[b"fw_", b"vercel_blob_rw_"],
        b'x' => &[b"pplx-"],
        b'y' => &[b"tvly-"],
        _ => &[],
    }
}

/// The prefixes of keys that [`is_joined`] recognises.
const JOINED: [&[u8]; 5] = [b"SG.", b"glpat-", b"bedrock-api-key-", b"xoxe.", b"glc_"];

/// The fewest bytes after a prefix.
const LEAST: usize = 16;

/// `[A-Za-z0-9_-]`
fn is_token(byte: u8) -> bool {
    is_word(byte) || byte == b'-'
}

/// `[A-Za-z0-9_.+/=-]`
fn is_joined(byte: u8) -> bool {
    is_token(byte) || matches!(byte, b'.' | b'+' | b'/' | b'=')
}

/// A private key in armour (RFC 7468, RFC 4880, RFC 4716), encrypted or not, with its headers. It reaches to the end of its
/// armour, or to the next five dashes, or to the end of the text:
/// `-{4,5} ?BEGIN [A-Za-z0-9 ]*(?:PRIVATE|SECRET) KEY(?: BLOCK)? ?-{4,5}(?s:.*?)(?:-{4,} ?END [A-Za-z0-9 ]*-{4,5}|-----|\z)`
pub fn private_key(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut next = from;
    loop {
        // The G is the rarest byte of the armour.
        let anchor = seek_byte(text, next, b'G')?;
        next = anchor + 1;
        let word = anchor.checked_sub(2).filter(|word| *word >= from + 4 && continues(text, *word, b"BEGIN "));
        let Some(word) = word else { continue };
        let gap = usize::from(before(text, word) == b' ');
        let dashes = word - gap;
        let count =
            text.get(from..dashes).unwrap_or_default().iter().rev().take(5).take_while(|byte| **byte == b'-').count();
        let Some(body) = label(text, word + 6).filter(|(_, is_private)| count >= 4 && *is_private) else { continue };
        return Some(dashes - count..armour_end(text, body.0));
    }
}

/// The end of the armour whose body starts at an offset.
fn armour_end(text: &[u8], body: usize) -> usize {
    let mut next = body;
    while let Some(dash) = seek_byte(text, next, b'-') {
        let end = run(text, dash, |byte| byte == b'-');
        let word = end + usize::from(at(text, end) == b' ');
        let closing = continues(text, word, b"END ").then(|| label(text, word + 4)).flatten();
        match (end - dash, closing) {
            (4.., Some((end, _))) => return end,
            (5.., None) => return dash,
            _ => next = end,
        }
    }
    text.len()
}

/// The end of `[A-Za-z0-9 ]{1,64}-{4,5}` at an offset, and true if it names a private key.
fn label(text: &[u8], offset: usize) -> Option<(usize, bool)> {
    let end = run(text.get(..offset + 64).unwrap_or(text), offset, |byte| byte.is_ascii_alphanumeric() || byte == b' ');
    let name = text.get(offset..end)?.trim_ascii_end();
    let name = name.strip_suffix(b" BLOCK").unwrap_or(name);
    let dashes = run(text.get(..end + 5).unwrap_or(text), end, |byte| byte == b'-');
    (dashes - end >= 4).then(|| (dashes, name.ends_with(b"PRIVATE KEY") || name.ends_with(b"SECRET KEY")))
}

/// A key with one of the prefixes above: `^(?:PREFIXES)[A-Za-z0-9_-]{16,}|^(?:JOINED)[A-Za-z0-9_.+/=-]{16,}`, if the rest
/// [`is_random`].
pub fn prefixed_key(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut next = from;
    // The ends of the last bodies of both classes that are words. A key that starts in such a body would end there, too.
    let (mut plain_words, mut joined_words) = (from, from);
    loop {
        let anchor = seek_any(text, next, *b"-_.")?;
        next = anchor + 1;
        // Most anchors are followed by a space or by a short word.
        if !is_joined(at(text, next)) || !is_joined(at(text, next + LEAST - 1)) {
            continue;
        }
        let last = before(text, anchor);
        if !last.is_ascii_alphanumeric() && last != b'_' {
            continue;
        }
        let head = text.get(from..next).unwrap_or_default();
        let start =
            |prefix: &&[u8]| Some(from + head.strip_suffix(*prefix)?.len()).filter(|start| may_start(text, *start));
        let body = |end: usize| text.get(next..end).unwrap_or_default();
        if next >= plain_words
            && let Some(start) = prefixes(last).iter().find_map(start)
        {
            plain_words = run(text, next, is_token);
            if is_random(body(plain_words)) {
                return Some(start..plain_words);
            }
        }
        if next >= joined_words
            && matches!(last, b'G' | b't' | b'y' | b'e' | b'c')
            && let Some(start) = JOINED.iter().find_map(start)
        {
            joined_words = run(text, next, is_joined);
            if is_random(body(joined_words)) {
                return Some(start..joined_words);
            }
        }
    }
}

/// Tells a key from words joined by dashes, such as `pk_orders_by_customer`. A key has [`LEAST`] bytes, and a run of 16 letters and
/// digits, or a run of 12 and a digit or a capital, or both a digit and a capital.
fn is_random(body: &[u8]) -> bool {
    let longest = body.split(|byte| !byte.is_ascii_alphanumeric()).map(<[u8]>::len).max().unwrap_or(0);
    let (digit, capital) = (body.iter().any(u8::is_ascii_digit), body.iter().any(u8::is_ascii_uppercase));
    body.len() >= LEAST && (longest >= 16 || longest >= 12 && (digit || capital) || digit && capital)
}

/// A key of Google: `^AIza[A-Za-z0-9_-]{30,}`
pub fn google_key(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut next = from;
    loop {
        let anchor = seek_byte(text, next, b'z')?;
        next = anchor + 1;
        let start = anchor.checked_sub(2).filter(|start| *start >= from && continues(text, *start, b"AIza"));
        let Some(start) = start.filter(|start| may_start(text, *start)) else { continue };
        let end = run(text, start + 4, is_token);
        if end - start >= 34 {
            return Some(start..end);
        }
    }
}

/// The identifier of an AWS access key, or a key of Bedrock: `^(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])|^ABSK[A-Za-z0-9+/=]{40,}`
pub fn aws_key(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut next = from;
    loop {
        let anchor = seek_either(text, next, b'K', b'S')?;
        next = anchor + 1;
        let Some(start) = anchor.checked_sub(1).filter(|start| *start >= from) else { continue };
        if at(text, start) == b'A' && continues(text, next, b"IA") && may_start(text, start) {
            let end = start + 20;
            let body = text.get(start + 4..end).unwrap_or_default();
            let fits = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
            if !body.is_empty() && body.iter().all(fits) && may_end(text, end) {
                return Some(start..end);
            }
        }
        let Some(start) = start.checked_sub(1).filter(|start| *start >= from) else { continue };
        if continues(text, start, b"ABSK") && may_start(text, start) {
            let in_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
            let end = run(text, start + 4, in_base64);
            if end - start >= 44 {
                return Some(start..end);
            }
        }
    }
}

/// A JSON Web Token, signed (RFC 7515) or encrypted (RFC 7516, five parts, the second may be empty):
/// `^eyJ[A-Za-z0-9_-]{8,}\.(?:[A-Za-z0-9_-]{8,})?(?:\.[A-Za-z0-9_-]*)+`
pub fn web_token(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut next = from;
    loop {
        let anchor = seek_byte(text, next, b'J')?;
        next = anchor + 1;
        let start = anchor.checked_sub(2).filter(|start| *start >= from && continues(text, *start, b"ey"));
        let Some(start) = start.filter(|start| may_start(text, *start)) else { continue };
        let header = run(text, next, is_token);
        if header - next >= 8 && at(text, header) == b'.' {
            let mut end = run(text, header + 1, is_token);
            let fits = end == header + 1 || end - header > 8;
            if fits && at(text, end) == b'.' {
                while at(text, end) == b'.' {
                    end = run(text, end + 1, is_token);
                }
                return Some(start..end);
            }
        }
        // Another token that starts in this header is shorter and is followed by the same bytes: it fails, too.
        next = header;
    }
}

/// A bearer token: `(?i)^bearer(?:\s|%20)+[A-Za-z0-9._~+/=-]{16,}`
pub fn bearer_token(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut next = from;
    loop {
        let start = seek_either(text, next, b'b', b'B')?;
        next = start + 1;
        let named = text.get(start..start + 6).is_some_and(|word| word.eq_ignore_ascii_case(b"bearer"));
        if !named || !may_start(text, start) {
            continue;
        }
        let mut token = start + 6;
        loop {
            token += match at(text, token) {
                b' ' | b'\t'..=b'\r' => 1,
                b'%' if continues(text, token, b"%20") => 3,
                _ => break,
            };
        }
        let end = run(text, token, |byte| is_joined(byte) || byte == b'~');
        if token > start + 6 && end - token >= 16 {
            return Some(start..end);
        }
    }
}
