//! `[serve.NAME]` as typed.

use marft_topologies::{keywords, table};

table! {
    /// A running server that gets the adapter of a policy after every checkpoint.
    ServeFile {
        /// What it is.
        server: ServerWord, required;
        /// Its address up to and including the version, such as `http://127.0.0.1:8000/v1`.
        url: String, required;
        /// Environment variable that holds its key; it wants none when absent.
        key_env: String;
        /// Seconds that a push may take, further attempts included; 30 when absent.
        seconds: f64;
        /// Where the server finds the run's folder; where the run does when absent.
        folder: String;
    }
}

keywords! {
    /// A server that takes adapters while it runs.
    ServerWord {
        /// vLLM, started with `VLLM_ALLOW_RUNTIME_LORA_UPDATING=True`.
        Vllm = "vllm",
        /// SGLang, started with `--enable-lora`.
        Sglang = "sglang",
    }
}
