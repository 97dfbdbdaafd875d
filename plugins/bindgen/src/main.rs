//! Writes the Rust SDK's bindings: `bindgen WIT-FILE OUTPUT`.
//!
//! Why it exists: the SDK carries its bindings as text, because the macro that would make them halves the speed of
//! an author's first build (hooks.md, "Authors"). `cargo xtask plugins --bindings` runs this.

use std::error::Error;
use std::path::Path;
use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator as _};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [wit, output] = arguments.as_slice() else {
        return Err("usage: bindgen WIT-FILE OUTPUT".into());
    };
    let mut resolve = Resolve::default();
    let package = resolve.push_file(Path::new(wit))?;
    let world = resolve.select_world(&[package], Some("hook"))?;
    let options = wit_bindgen_rust::Opts {
        format: true,
        generate_all: true,
        pub_export_macro: true,
        export_macro_name: Some("export_hook".to_owned()),
        default_bindings_module: Some("deployfile_hook::bindings".to_owned()),
        runtime_path: Some("::deployfile_hook::rt".to_owned()),
        ..Default::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files)?;
    let (_, text) = files.iter().find(|(name, _)| name.ends_with(".rs")).ok_or("no Rust file was made")?;
    std::fs::write(output, text)?;
    Ok(())
}
