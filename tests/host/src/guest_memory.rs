//! Access to the memory of the guest.

use wasmtime::{Caller, Memory};

use super::host_calls::{Headers, State};

pub fn read(guest: &Caller<'_, State>, at: u32, size: u32) -> Vec<u8> {
    let (at, size) = (at as usize, size as usize);
    memory(guest).data(guest).get(at..at + size).expect("the plugin passed a range outside of its memory").to_vec()
}

pub fn write(guest: &mut Caller<'_, State>, at: u32, bytes: &[u8]) -> wasmtime::Result<u32> {
    memory(guest).write(guest, at as usize, bytes)?;
    Ok(0)
}

/// Copies bytes into a block from the guest's allocator.
pub fn give(guest: &mut Caller<'_, State>, bytes: &[u8], out: u32, out_size: u32) -> wasmtime::Result<u32> {
    let malloc = guest.data().malloc.clone().expect("the plugin does not export malloc");
    let block = if bytes.is_empty() { 0 } else { malloc.call(&mut *guest, bytes.len() as u32)? };
    write(guest, block, bytes)?;
    write(guest, out, &block.to_le_bytes())?;
    write(guest, out_size, &(bytes.len() as u32).to_le_bytes())
}

/// The ABI's format of a map: the number of pairs, the sizes of all names and values, then each name and value with a
/// NUL after it.
pub fn serialize(headers: &Headers) -> Vec<u8> {
    let mut out = (headers.len() as u32).to_le_bytes().to_vec();
    for (name, value) in headers {
        out.extend((name.len() as u32).to_le_bytes());
        out.extend((value.len() as u32).to_le_bytes());
    }
    for (name, value) in headers {
        out.extend([name, b"\0".as_slice(), value, b"\0"].concat());
    }
    out
}

fn memory(guest: &Caller<'_, State>) -> Memory {
    guest.data().memory.expect("the plugin does not export its memory")
}
