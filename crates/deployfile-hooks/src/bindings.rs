//! The host's side of `hook.wit`, generated. Exports are looked up by name, so a component may export more.

wasmtime::component::bindgen!({
    path: "../../plugins/wit",
    world: "hook",
    imports: {
        "deployfile:hook/exec@1.0.0.[method]command.run": async | trappable,
        "deployfile:hook/http@1.0.0.[method]request.send": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "deployfile:hook/context.release": crate::facts::Release,
        "deployfile:hook/exec.command": crate::interface::exec::Command,
        "deployfile:hook/exec.output": crate::process::Captured,
        "deployfile:hook/http.request": crate::interface::http::Request,
        "deployfile:hook/http.response": crate::fetch::Answer,
    },
});
