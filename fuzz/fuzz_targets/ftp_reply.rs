//! What a server, or a middlebox, answers on the control connection.
#![no_main]

use fwdrill_protocol::ftp_reply::Reply;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok(Some((reply, taken))) = Reply::parse(rest) {
        assert!((1..=rest.len()).contains(&taken));
        let whole = Reply::parse(&rest[..taken]);
        assert_eq!(
            whole,
            Ok(Some((reply.clone(), taken))),
            "what is behind a reply changes it"
        );
        assert_eq!(
            Reply::parse(&rest[..taken - 1]),
            Ok(None),
            "a reply is complete without its end"
        );
        if let Some(address) = reply.passive_address() {
            let again = Reply::passive(address);
            assert_eq!(again.passive_address(), Some(address));
        }
        if let Some(port) = reply.extended_passive_port() {
            assert_eq!(Reply::extended_passive(port).extended_passive_port(), Some(port));
        }
        rest = &rest[taken..];
    }
});
