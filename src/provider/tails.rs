//! A quick check that rules out most paths that are not those of an API.

use super::Endpoint;

impl Endpoint {
    /// The end of its paths. If they end in an identifier, the end before that, with a slash.
    const fn tail(&self) -> &'static [u8] {
        if !self.suffix.is_empty() {
            self.suffix.as_bytes()
        } else if self.fetched_after.is_empty() {
            self.within.as_bytes()
        } else {
            self.fetched_after.as_bytes()
        }
    }
}

/// Number of bytes of a path's end that are compared.
const BYTES: usize = 3;
/// Number of words of the set.
const WORDS: usize = 16;

/// The ends of the paths of endpoints: a set of the hashes of their last bytes. Of an endpoint whose paths end in an identifier, the end before that.
/// Comparing a path with every endpoint takes twenty times as long.
pub(super) struct Tails([u64; WORDS]);

impl Tails {
    /// The ends of these endpoints.
    #[expect(clippy::indexing_slicing, reason = "a place is one of the set's words")]
    pub const fn of(mut groups: &[&[Endpoint]]) -> Self {
        let mut tails = Tails([0; WORDS]);
        while let Some((group, others)) = groups.split_first() {
            let mut group: &[Endpoint] = group;
            while let Some((endpoint, rest)) = group.split_first() {
                let [word, bit] = place(endpoint.tail());
                tails.0[word] |= 1 << bit;
                group = rest;
            }
            groups = others;
        }
        tails
    }

    /// Returns false if no endpoint has this path. The path has no query and no slash at its end.
    pub fn may_have(&self, path: &str) -> bool {
        let path = path.as_bytes();
        let before_id = path.iter().rposition(|byte| *byte == b'/').and_then(|at| path.get(..=at));
        self.has(path) || before_id.is_some_and(|before| before.len() > 1 && self.has(before))
    }

    fn has(&self, path: &[u8]) -> bool {
        let [word, bit] = place(path);
        self.0.get(word).is_some_and(|word| word >> bit & 1 != 0)
    }
}

/// The place in the set of a text that ends in these bytes: a word, and a bit of it.
const fn place(mut text: &[u8]) -> [usize; 2] {
    let (mut hash, mut taken) = (0_u32, 0);
    while taken < BYTES
        && let Some((last, before)) = text.split_last()
    {
        hash = (hash << 8) | *last as u32;
        (text, taken) = (before, taken + 1);
    }
    let hash = hash.wrapping_mul(0x9e37_79b1) >> 22;
    [(hash >> 6) as usize, (hash & 63) as usize]
}

#[cfg(test)]
mod tests {
    use super::super::{ENDPOINTS, TAILS, endpoints, serves};
    use super::*;

    #[test]
    fn the_path_of_every_endpoint_passes_and_few_others_do() {
        for endpoint in endpoints() {
            let end = core::str::from_utf8(endpoint.tail()).unwrap();
            let path = match endpoint.suffix {
                _ if endpoint.exact => end.to_owned(),
                "" => format!("/v1{}x{end}id", endpoint.within),
                _ => format!("/v1{}x{}id{end}", endpoint.within, endpoint.fetched_after),
            };
            assert!(endpoint.suffix == "\0" || serves(&path, &[]), "{path}");
            assert!(endpoint.exact || !endpoint.suffix.is_empty() || end.ends_with('/'), "{end}");
            assert!(endpoint.exact || end.len() >= BYTES, "{end} is too short");
        }
        let others = ["/v1/orders", "/api/users/7", "/index.html", "/healthz", "/cart/items", "/search"];
        assert!(TAILS.may_have(""));
        assert!(others.iter().filter(|path| TAILS.may_have(path)).count() <= 1);
        assert_eq!(ENDPOINTS.iter().map(|group| group.len()).sum::<usize>(), endpoints().count());
    }
}
