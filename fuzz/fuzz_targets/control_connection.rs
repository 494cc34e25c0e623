//! What a client says on the control connection, in pieces of any size.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((size, bytes)) = data.split_first() else {
        return;
    };
    fwdrill_server::fuzzing::control_connection(bytes, usize::from(*size));
});
