//! What an agent is: models, tokenizers, adapters, critics, batched generation, and remote, human or scripted policies.
//!
//! Tensors live and die in this crate. One plain thread per device owns base weights, adapters, optimisers and caches;
//! everything that leaves it is plain data: token ids, log-probs, timings. The crate knows nothing of episodes, rewards or
//! the ECS, and nothing of the algorithms that train its policies.

pub mod critic;
pub mod device;
pub mod generate;
pub mod lora;
pub mod model;
pub mod parse;
pub mod policy;
pub mod pretrained;
mod tensor_file;
pub mod text;
pub mod train;
