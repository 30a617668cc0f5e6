//! `marft play`: a conversation with one model on the terminal.
//!
//! The answer appears as it is sampled. What has been said is never tokenised again: a turn's prompt is the ids of the turn
//! before, the sampled ids, and the ids of the new text only, so a long conversation costs its last message. Only where it has
//! outgrown the context, what is left of it once its oldest messages are forgotten is read anew.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use clap::builder::RangedU64ValueParser;
use marft::agents::device::{Device, DeviceError, DeviceHandle, DeviceThread, Ticket};
use marft::agents::generate::kv::store::block_size;
use marft::agents::generate::{
    FinishReason, GenerateError, GenerateEvent, GenerateRequest, GenerateResponse, Generator, GeneratorOptions,
    PolicyId, Sampling, SeedKey, TokenBytes,
};
use marft::agents::lora::load_config;
use marft::agents::model::{ModelConfig, ModelError, Placement};
use marft::agents::text::{Conversation, Text, TextError};
use marft::agents::train::{
    MemoryError, MemoryPlan, PlanRequest, PolicySpec, PolicyTable, TrainError, available_memory,
};
use miette::{IntoDiagnostic as _, WrapErr as _};
use serde_json::{Value, json};

use super::model::{cannot_open, find};
use super::signals::{INTERRUPT, watch};
use super::train::say;
use super::{Exit, Output};

/// Chat with a model
///
/// Every line of stdin is a message; the answer goes to stdout. Ctrl-C stops an answer, and at the prompt the program.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An alias, a folder, a `.gguf` file or `random:…`
    #[arg(long)]
    model: String,
    /// A folder with a LoRA adapter in PEFT format
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// What the model is told before the conversation
    #[arg(long)]
    system: Option<String>,
    /// 0 always takes the most probable token
    #[arg(long, default_value_t = 0.7, value_parser = temperature, allow_negative_numbers = true)]
    temperature: f32,
    /// Keep the most probable tokens up to this share of the mass
    #[arg(long, default_value_t = 0.95, value_parser = top_p, allow_negative_numbers = true)]
    top_p: f32,
    /// Longest answer in tokens
    #[arg(long, default_value_t = 512, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    max_tokens: usize,
    /// Seed of the random numbers: equal seeds and messages give equal answers
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Why the device could not be set up.
#[derive(Debug, thiserror::Error)]
enum SetUpError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Policy(#[from] TrainError),
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// What comes from the person.
enum Input {
    Line(String),
    End,
    Failed(std::io::Error),
    Interrupt,
}

/// The only policy.
const POLICY: PolicyId = PolicyId(0);

fn temperature(text: &str) -> Result<f32, String> {
    checked(text, |temperature| Sampling { temperature, ..Sampling::default() })
}

fn top_p(text: &str) -> Result<f32, String> {
    checked(text, |top_p| Sampling { top_p, ..Sampling::default() })
}

/// Reads a number and asks the sampler whether it can be sampled with.
fn checked(text: &str, sampling: impl Fn(f32) -> Sampling) -> Result<f32, String> {
    let number = text.parse().map_err(|_| "expected a number".to_owned())?;
    sampling(number).check(usize::MAX).map_err(|error| error.to_string())?;
    Ok(number)
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
        let location = find(&self.model)?;
        let text = Arc::new(location.text().map_err(|error| cannot_open(&self.model, error))?);
        let config = location.weights().map_err(|error| cannot_open(&self.model, error.into()))?.config;
        // one conversation is all there is: the newest turn, and what is left of those before
        let largest = GeneratorOptions::default().cache_bytes;
        let cache_bytes = largest.min(2 * config.cache_bytes(config.context, Placement::FAST.kind) as usize);
        self.fits(&config, cache_bytes)?;
        let limit = positions(&config, cache_bytes);
        let options = GeneratorOptions { cache_bytes, ..GeneratorOptions::default() };
        let (tokens, adapter) = (Arc::clone(&text) as Arc<dyn TokenBytes>, self.adapter.clone());
        let device = DeviceThread::spawn("device", 16, move || -> Result<_, SetUpError> {
            let mut decoder = location.decoder(Placement::FAST)?;
            let mut policies = PolicyTable::default();
            match adapter {
                Some(folder) => policies.load(POLICY, &folder, None, &decoder)?,
                None => policies.add(POLICY, &PolicySpec::Base, &mut decoder)?,
            }
            let generator = Generator::new(&decoder, tokens, options)?;
            Ok(Device { decoder, policies, generator })
        });
        let device = device.into_diagnostic().wrap_err_with(|| format!("cannot open `{}`", self.model))?;

        let answering = Arc::new(Mutex::new(None::<Ticket>));
        let inputs = inputs(&answering)?;
        let person = std::io::stdin().is_terminal();
        let mut chat = Chat::new(text, self.sampling(), self.seed, self.system.as_deref(), limit);
        loop {
            if person {
                // A prompt that cannot be shown is no reason to stop.
                let _ = write!(std::io::stderr(), "> ");
            }
            match inputs.recv() {
                Ok(Input::Line(line)) if line.trim().is_empty() => {}
                Ok(Input::Line(line)) => chat.answer(&line, &device.handle(), &answering, output)?,
                Ok(Input::Failed(error)) => return Err(error).into_diagnostic().wrap_err("cannot read stdin"),
                Ok(Input::End | Input::Interrupt) | Err(_) => break,
            }
        }
        if person {
            let _ = writeln!(std::io::stderr());
        }
        Ok(Exit::Success)
    }

    /// Refuses what would not fit into memory, before it is loaded.
    fn fits(&self, model: &ModelConfig, cache_bytes: usize) -> miette::Result<()> {
        let adapter = self.adapter.as_deref().map(load_config).transpose();
        let adapter = adapter.into_diagnostic().wrap_err("cannot load the adapter")?;
        let adapters: Vec<_> = adapter.into_iter().map(|lora| (lora, false)).collect();
        let plan = MemoryPlan::new(&PlanRequest {
            model,
            placement: Placement::FAST,
            adapters: &adapters,
            full: false,
            critics: &[],
            kv_bytes: cache_bytes as u64,
            train_rows: 0,
            checkpointing: false,
        });
        let available = available_memory(Placement::FAST.device);
        tracing::info!("memory: the model {}", plan.summary(available));
        available.map_or(Ok(()), |bytes| plan.fit(bytes)).map_err(|error: MemoryError| {
            let text = error.to_string();
            let what = text.split_once("; hint: ").map_or(text.as_str(), |(what, _)| what);
            miette::miette!(help = "choose a smaller model, or end other programs", "{what}")
        })
    }

    fn sampling(&self) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_p: self.top_p,
            max_tokens: self.max_tokens,
            ..Sampling::default()
        }
    }
}

/// Tokens of a conversation that the model and a cache of `bytes` have room for.
fn positions(config: &ModelConfig, bytes: usize) -> usize {
    let block = config.cache_bytes(1, Placement::FAST.kind) as usize;
    (bytes / block * block_size()).min(config.context)
}

/// Lines and interrupts on one channel. An interrupt withdraws the answer under way, if there is one, and is no input then.
fn inputs(answering: &Arc<Mutex<Option<Ticket>>>) -> miette::Result<Receiver<Input>> {
    let (sender, inputs) = sync_channel(1);
    let (interrupts, answering) = (sender.clone(), Arc::clone(answering));
    watch(&[INTERRUPT], move |_| match &*answering.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(ticket) => ticket.cancel(),
        // A full channel holds a line that is about to be answered: there is something to stop soon enough.
        None => drop(interrupts.try_send(Input::Interrupt)),
    })
    .into_diagnostic()
    .wrap_err("cannot watch for Ctrl-C")?;
    // The thread waits for lines until the process ends; nothing depends on it any more then.
    std::thread::spawn(move || read_lines(&sender));
    Ok(inputs)
}

fn read_lines(sender: &SyncSender<Input>) {
    for line in std::io::stdin().lock().lines() {
        if sender.send(line.map_or_else(Input::Failed, Input::Line)).is_err() {
            return;
        }
    }
    // Nobody listens any more if this fails.
    let _ = sender.send(Input::End);
}

/// A conversation and the ids it has come to.
struct Chat {
    text: Arc<Text>,
    sampling: Sampling,
    seed: u64,
    messages: Vec<Value>,
    /// Messages that have been forgotten.
    forgotten: u64,
    /// Tokens of prompt and answer that there is room for.
    limit: usize,
    /// The last turn: the text of its prompt and answer, and their ids.
    so_far: Option<(String, Vec<u32>)>,
}

impl Chat {
    fn new(text: Arc<Text>, mut sampling: Sampling, seed: u64, system: Option<&str>, limit: usize) -> Self {
        sampling.stop_ids.clone_from(&text.specials().end_ids);
        let messages = system.map(|content| json!({ "role": "system", "content": content })).into_iter().collect();
        Self { text, sampling, seed, messages, forgotten: 0, limit, so_far: None }
    }

    /// Takes a message and writes the answer as it comes. An answer that was stopped is forgotten with its message, and so is a
    /// message that there is no room for.
    fn answer(
        &mut self,
        message: &str,
        device: &DeviceHandle<PolicyTable>,
        answering: &Mutex<Option<Ticket>>,
        output: &mut Output,
    ) -> miette::Result<()> {
        self.messages.push(json!({ "role": "user", "content": message }));
        let fitting = self.fitting().into_diagnostic().wrap_err("cannot render the conversation")?;
        let Some((rendered, prompt)) = fitting else {
            self.messages.pop();
            say(&format!(
                "this message is too long for the {} tokens that there is room for: say it in fewer words",
                self.limit
            ));
            return Ok(());
        };
        let max_tokens = self.sampling.max_tokens.min(self.limit - prompt.len());
        let request = GenerateRequest {
            policy: POLICY,
            prompt: prompt.clone(),
            sampling: Sampling { max_tokens, ..self.sampling.clone() },
            seed: SeedKey { seed: self.seed, request: self.messages.len() as u64 + self.forgotten },
            deadline: None,
            stream: true,
        };
        let generation = device.generate(request).into_diagnostic()?;
        let set = |ticket| *answering.lock().unwrap_or_else(PoisonError::into_inner) = ticket;
        set(Some(generation.ticket()));
        let text = Arc::clone(&self.text);
        let mut detokenizer = text.detokenizer();
        let outcome = loop {
            match generation.next_event() {
                GenerateEvent::Token(token) => {
                    output.text(&detokenizer.push(token.id))?;
                    output.finish()?;
                }
                GenerateEvent::Done(outcome) => break outcome,
            }
        };
        set(None);
        output.text(&format!("{}\n", detokenizer.finish()))?;
        output.finish()?;
        match outcome {
            Ok(response) => {
                if matches!(response.finish, FinishReason::MaxTokens | FinishReason::ContextFull) {
                    self.say_cut(response.ids.len());
                }
                self.keep(rendered, prompt, &response);
            }
            Err(GenerateError::Cancelled) => drop(self.messages.pop()),
            Err(error) => return Err(error).into_diagnostic(),
        }
        Ok(())
    }

    /// Says that an answer was cut after `tokens`, and by what.
    fn say_cut(&self, tokens: usize) {
        if tokens >= self.sampling.max_tokens {
            say(&format!("the answer was cut after {tokens} tokens; --max-tokens allows more"));
        } else {
            say(&format!("the answer was cut: the conversation fills the {} tokens there is room for", self.limit));
        }
    }

    /// As [`prompt`](Self::prompt), once so many of the oldest messages are forgotten that there is room for an answer. `None`
    /// where the newest message alone leaves none; then nothing is forgotten.
    fn fitting(&mut self) -> Result<Option<(String, Vec<u32>)>, TextError> {
        // a short prompt of a long conversation is worth more than a long one that nothing can be answered to
        let room = self.sampling.max_tokens.min(self.limit / 4);
        let mut whole = None;
        let (rendered, prompt) = loop {
            let (rendered, prompt) = self.prompt()?;
            if prompt.len() + room <= self.limit {
                break (rendered, prompt);
            }
            whole.get_or_insert_with(|| (self.messages.clone(), self.so_far.clone(), self.forgotten));
            if !self.forget() {
                break (rendered, prompt);
            }
        };
        let Some((messages, so_far, forgotten)) = whole else { return Ok(Some((rendered, prompt))) };
        if prompt.len() >= self.limit {
            (self.messages, self.so_far, self.forgotten) = (messages, so_far, forgotten);
            return Ok(None);
        }
        let count = self.forgotten - forgotten;
        if count > 0 {
            say(&format!(
                "the conversation has outgrown the {} tokens there is room for: its oldest {count} messages are forgotten",
                self.limit
            ));
        }
        Ok(Some((rendered, prompt)))
    }

    /// Forgets the oldest message and its answer. False where only what the model was told and the newest message are left.
    fn forget(&mut self) -> bool {
        let first = usize::from(self.messages.first().is_some_and(|message| message["role"] == "system"));
        if self.messages.len() < first + 3 {
            return false;
        }
        self.messages.drain(first..first + 2);
        self.forgotten += 2;
        self.so_far = None;
        true
    }

    /// The text of the next prompt and its ids: those of the last turn as they were, and of what is new.
    fn prompt(&self) -> Result<(String, Vec<u32>), TextError> {
        let conversation =
            Conversation { messages: &self.messages, generation_prompt: true, ..Conversation::default() };
        let rendered = self.text.render(conversation)?;
        let ids = match &self.so_far {
            // Some templates rewrite what has been said; then there is nothing to append to.
            Some((text, ids)) => match rendered.strip_prefix(text.as_str()) {
                Some(new) => [&ids[..], &self.text.encode(new)?].concat(),
                None => self.text.encode(&rendered)?,
            },
            None => self.text.encode(&rendered)?,
        };
        Ok((rendered, ids))
    }

    fn keep(&mut self, rendered: String, prompt: Vec<u32>, response: &GenerateResponse) {
        let answer = self.text.decode(&response.ids);
        let mut text = rendered + &answer;
        if let FinishReason::StopId(id) = response.finish {
            text += &self.text.tokenizer().id_to_token(id).unwrap_or_default();
        }
        self.messages.push(json!({ "role": "assistant", "content": answer }));
        self.so_far = Some((text, [prompt, response.ids.clone()].concat()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_appends_to_the_ids_of_the_last_one() {
        let location = find("random:llama").unwrap();
        let mut chat = Chat::new(Arc::new(location.text().unwrap()), Sampling::default(), 0, Some("Be brief."), 2048);
        let end = chat.sampling.stop_ids[0];
        chat.messages.push(json!({ "role": "user", "content": "one" }));
        let (rendered, prompt) = chat.prompt().unwrap();
        let ids = [chat.text.encode("two").unwrap(), vec![end]].concat();
        let response = GenerateResponse {
            logprobs: vec![0.0; ids.len()],
            logprobs_t1: vec![0.0; ids.len()],
            entropies: vec![0.0; ids.len()],
            finish: FinishReason::StopId(end),
            policy: POLICY,
            policy_version: 0,
            cached_prompt_tokens: 0,
            timings: marft::agents::generate::Timings::default(),
            ids,
        };
        chat.keep(rendered, prompt.clone(), &response);
        chat.messages.push(json!({ "role": "user", "content": "three" }));
        let (rendered, next) = chat.prompt().unwrap();
        assert_eq!(next[..prompt.len() + response.ids.len()], [prompt, response.ids].concat());
        assert_eq!(next, chat.text.encode(&rendered).unwrap(), "this template can be continued");
    }

    #[test]
    fn a_conversation_that_outgrows_the_context_forgets_its_oldest_messages() {
        let location = find("random:llama").unwrap();
        let sampling = Sampling { max_tokens: 20, ..Sampling::default() };
        let mut chat = Chat::new(Arc::new(location.text().unwrap()), sampling, 0, Some("Be brief."), 300);
        for number in 0..6 {
            chat.messages.push(json!({ "role": "user", "content": format!("message {number}") }));
            chat.messages.push(json!({ "role": "assistant", "content": "an answer of some length" }));
        }
        chat.messages.push(json!({ "role": "user", "content": "and now?" }));
        let (rendered, prompt) = chat.fitting().unwrap().unwrap();
        assert!(prompt.len() + 20 <= 300 && chat.forgotten > 0);
        assert!(rendered.contains("Be brief.") && rendered.contains("and now?") && rendered.contains("message 5"));
        assert!(!rendered.contains("message 0"));
        chat.messages.push(json!({ "role": "assistant", "content": "yes" }));
        chat.messages.push(json!({ "role": "user", "content": "long ".repeat(100) }));
        let (count, forgotten) = (chat.messages.len(), chat.forgotten);
        assert!(chat.fitting().unwrap().is_none(), "one message of 500 tokens");
        assert_eq!((chat.messages.len(), chat.forgotten), (count, forgotten), "what was said before stays");
    }

    #[test]
    fn numbers_that_cannot_be_sampled_with_are_refused() {
        assert_eq!((temperature("0"), top_p("1")), (Ok(0.0), Ok(1.0)));
        assert!(temperature("-1").unwrap_err().contains("`temperature` is -1"));
        assert!(top_p("0").unwrap_err().contains("`top_p` is 0"));
        assert!(temperature("NaN").is_err() && top_p("warm").is_err());
    }
}
