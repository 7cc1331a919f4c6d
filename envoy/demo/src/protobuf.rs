//! Reader for the protobuf wire format with the four wire types that OTLP uses. Specification:
//! <https://protobuf.dev/programming-guides/encoding>

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A varint, or an integer of 32 or 64 bits.
    Number(u64),
    /// A string, bytes or a message.
    Bytes(&'a [u8]),
}

/// The message ends inside a field, or has a wire type that OTLP does not use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Malformed;

/// The fields of a message in order, as number and value. The iteration ends after the first error.
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Number(u64::from_le_bytes(*self.0.split_off(..8)?.first_chunk()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.0.split_off(..length)?)
            }
            5 => Value::Number(u32::from_le_bytes(*self.0.split_off(..4)?.first_chunk()?).into()),
            _ => return None,
        };
        Some((key >> 3, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.0.split_off_first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Malformed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_protobuf_specification_are_decoded() {
        let read = |bytes| Fields::of(bytes).collect::<Result<Vec<_>, _>>();
        assert_eq!(read(&[0x08, 0x96, 0x01]), Ok(vec![(1, Value::Number(150))]));
        assert_eq!(read(b"\x12\x07testing"), Ok(vec![(2, Value::Bytes(b"testing"))]));
        assert_eq!(
            read(&[0x09, 1, 0, 0, 0, 0, 0, 0, 0, 0x15, 2, 0, 0, 0]),
            Ok(vec![(1, Value::Number(1)), (2, Value::Number(2))])
        );
    }

    #[test]
    fn a_message_that_ends_inside_a_field_is_malformed() {
        for bytes in [&[0x08][..], &[0x08, 0x96], b"\x12\x07test", &[0x09, 1, 0], &[0x15, 2], &[0x0b]] {
            assert_eq!(Fields::of(bytes).collect::<Vec<_>>(), [Err(Malformed)], "{bytes:?}");
        }
    }
}
