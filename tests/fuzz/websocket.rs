//! The fuzz target of WebSocket frames.

use std::rc::Rc;

use gaugeway::budget::{Budget, Share, Side};
use gaugeway::framing::websocket::{Compression, FrameError, Frames, Piece};

/// One direction of a WebSocket connection. The second byte of the input selects the direction and the compression. If its
/// bit 3 is set, each line of the rest becomes a frame: the line's first byte is the frame's first byte.
pub fn websocket(data: &[u8]) {
    let Some((&[size, kind], rest)) = data.split_first_chunk::<2>() else { return };
    let from_client = kind & 1 != 0;
    let compression = match kind >> 1 & 3 {
        0 => None,
        1 => Some(Compression { window_bits: 15, keeps_context: true }),
        2 => Some(Compression { window_bits: 15, keeps_context: false }),
        _ => Some(Compression { window_bits: 8, keeps_context: true }),
    };
    let lines = || rest.split(|byte| *byte == b'\n').flat_map(|line| frame(line, from_client)).collect();
    let stream: Vec<u8> = if kind & 8 == 0 { rest.to_vec() } else { lines() };
    let (whole, log) = read(from_client, compression, [&stream[..]].into_iter());
    let (cut, cut_log) = read(from_client, compression, stream.chunks(usize::from(size).max(1)));
    // How much a decoder decodes before it finds an error, or reaches a limit, depends on the cuts.
    if [whole, cut].contains(&Err(FrameError::Encoding)) {
        assert!(log.starts_with(&cut_log) || cut_log.starts_with(&log));
    } else {
        assert!((whole, log) == (cut, cut_log), "{whole:?} and {cut:?}");
    }
}

/// A frame whose first byte is that of the line.
fn frame(line: &[u8], from_client: bool) -> Vec<u8> {
    let Some((first, payload)) = line.split_first() else { return Vec::new() };
    let mask = if from_client { 0x80 } else { 0 };
    let mut frame = match u16::try_from(payload.len()) {
        Ok(length) if length > 125 => [&[*first, 126 | mask][..], &length.to_be_bytes()].concat(),
        Ok(length) => vec![*first, length as u8 | mask],
        Err(_) => [&[*first, 127 | mask][..], &(payload.len() as u64).to_be_bytes()].concat(),
    };
    let key = if from_client { &[0xa5, 0, 0x17, 0xff][..] } else { &[] };
    frame.extend(key);
    let cycle = key.iter().chain([&0; 4]).take(4).cycle();
    frame.extend(payload.iter().zip(cycle).map(|(byte, key)| byte ^ key));
    frame
}

/// The result, and all messages in a row.
fn read<'b>(
    from_client: bool,
    compression: Option<Compression>,
    pieces: impl Iterator<Item = &'b [u8]>,
) -> (Result<(), FrameError>, Vec<u8>) {
    let budget = Rc::new(Budget::default());
    let share = Share::new(&budget, if from_client { Side::Request } else { Side::Response }, 0);
    let mut frames = Frames::new(from_client, compression, share).expect("there is room for one decoder");
    let mut log = Vec::new();
    let mut is_open = false;
    let mut result = Ok(());
    for piece in pieces {
        result = frames.push(piece, &mut |part| match part {
            Piece::Start { is_text } => {
                assert!(!std::mem::replace(&mut is_open, true));
                log.extend([b'<', is_text.into()]);
            }
            Piece::Data(data) => {
                assert!(is_open);
                log.extend_from_slice(data);
            }
            Piece::End => {
                assert!(std::mem::replace(&mut is_open, false));
                log.push(b'>');
            }
            Piece::Close(status) => log.extend(format!("closed {status:?}").into_bytes()),
        });
        if result.is_err() {
            assert_eq!(frames.push(piece, &mut |_| panic!("nothing is read after an error")), result);
            break;
        }
    }
    drop(frames);
    assert_eq!(budget.reserved(), 0);
    (result, log)
}
