//! Bytes in, whole characters out.

use proptest::prelude::*;

use crate::text::Text;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_stream_gives_the_text_that_decoding_at_once_gives(ids in prop::collection::vec(0_u32..300, 0..40)) {
        let text = Text::bytes().unwrap();
        let mut stream = text.detokenizer();
        let mut streamed: String = ids.iter().map(|&id| stream.push(id)).collect();
        streamed += &stream.finish();
        prop_assert_eq!(streamed, text.decode(&ids));
    }

    #[test]
    fn any_text_comes_back(original in ".*") {
        let text = Text::bytes().unwrap();
        let ids = text.encode(&original).unwrap();
        prop_assert_eq!(text.decode(&ids), original.replace("<|im_start|>", "").replace("<|im_end|>", ""));
    }
}

#[test]
fn a_character_appears_with_its_last_byte() {
    let text = Text::bytes().unwrap();
    let mut stream = text.detokenizer();
    let pieces: Vec<String> = "é🦀!".bytes().map(|byte| stream.push(byte.into())).collect();
    assert_eq!(pieces, ["", "é", "", "", "", "🦀", "!"]);
}

#[test]
fn marks_of_turns_are_single_tokens_without_text() {
    let text = Text::bytes().unwrap();
    assert_eq!(text.encode("<|im_start|>a<|im_end|>").unwrap(), [256, 97, 257]);
    assert_eq!(text.decode(&[256, 97, 257, 4000]), "a");
    assert_eq!(text.specials().end_ids, [257]);
}
