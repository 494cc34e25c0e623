//! An `eserv.ini` of any bytes: an estate whose range can be handed out, or mistakes that can be read.
#![no_main]

use fwdrill_protocol::estate::layers::Layers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match Layers::new().eserv_ini("eserv.ini", data).resolve() {
        Ok(estate) => {
            let shown = estate.ftp.passive_ports.to_string();
            assert_eq!(shown.parse(), Ok(estate.ftp.passive_ports.clone()), "{shown}");
            assert!(
                estate
                    .stolen_ports()
                    .iter()
                    .all(|port| estate.ftp.passive_ports.contains(port))
            );
        }
        Err(mistakes) => assert!(!mistakes.to_string().is_empty()),
    }
});
