//! Classes of characters, as patterns have them. Names and cases are those of ASCII.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// The class of the characters from `first` to `last`.
pub fn range(first: char, last: char) -> ClassUnicode {
    ClassUnicode::new([ClassUnicodeRange::new(first, last)])
}

/// The class, or all other characters.
pub fn negated(mut class: ClassUnicode, negate: bool) -> ClassUnicode {
    if negate {
        class.negate();
    }
    class
}

/// The class, with both cases of its ASCII letters if case is ignored.
pub fn folded(mut class: ClassUnicode, ignores_case: bool) -> ClassUnicode {
    if ignores_case {
        let shifted = |first: char, last: char, offset: i32| {
            let mut letters = class.clone();
            letters.intersect(&range(first, last));
            let shift = |c: char| u32::from(c).checked_add_signed(offset).and_then(char::from_u32).unwrap_or(c);
            let ranges = letters.iter().map(|part| ClassUnicodeRange::new(shift(part.start()), shift(part.end())));
            ClassUnicode::new(ranges.collect::<Vec<_>>())
        };
        let (upper, lower) = (shifted('a', 'z', -32), shifted('A', 'Z', 32));
        class.union(&upper);
        class.union(&lower);
    }
    class
}

/// The class with a name of POSIX.
///
/// # Errors
/// There is none of the name.
pub fn named(name: &str) -> Result<ClassUnicode, &'static str> {
    let ranges: &[(char, char)] = match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7f')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return Err("the name of a class is unknown"),
    };
    Ok(ClassUnicode::new(ranges.iter().map(|(first, last)| ClassUnicodeRange::new(*first, *last))))
}
