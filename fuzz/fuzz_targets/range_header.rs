//! A Range header, for a file of any length (the first eight bytes).
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((length, field)) = data.split_first_chunk() else {
        return;
    };
    fwdrill_server::fuzzing::range_header(field, u64::from_le_bytes(*length));
});
