//! ASCII spellings of letters that people's names have: Latin with marks, Greek, Cyrillic. A table of a few kilobytes; the crates that
//! know all of Unicode bring half a megabyte, which every fresh instance would carry.

/// How a letter is spelled in lower-case ASCII; marks that combine have no spelling of their own. `None`: not in the table.
pub fn spell(letter: char) -> Option<&'static str> {
    if ('\u{300}'..='\u{36f}').contains(&letter) {
        return Some("");
    }
    let lower = letter.to_lowercase().next().unwrap_or(letter);
    SPELLINGS.iter().find(|(letters, _)| letters.contains(lower)).map(|(_, spelled)| *spelled)
}

/// Lower-case letters and what they are spelled as.
const SPELLINGS: &[(&str, &str)] = &[
    // Latin. A lower-case İ is an i and a mark.
    ("àáâãäåāăąǎǟǡǻȁȃȧḁẚạảấầẩẫậắằẳẵặª", "a"),
    ("æǣǽ", "ae"),
    ("ḃḅḇƀɓ", "b"),
    ("çćĉċčḉȼ", "c"),
    ("ðďđḋḍḏḑḓɖɗ", "d"),
    ("èéêëēĕėęěȅȇȩḕḗḙḛḝẹẻẽếềểễệəǝ", "e"),
    ("ḟƒ", "f"),
    ("ĝğġģǧǵḡǥ", "g"),
    ("ĥħȟḣḥḧḩḫẖ", "h"),
    ("iìíîïĩīĭįıǐȉȋḭḯỉịɨ", "i"),
    ("ĳ", "ij"),
    ("ĵǰɉ", "j"),
    ("ķĸǩḱḳḵƙ", "k"),
    ("ĺļľŀłḷḹḻḽƚ", "l"),
    ("ḿṁṃ", "m"),
    ("ñńņňŉŋǹṅṇṉṋɲ", "n"),
    ("òóôõöøōŏőơǒǫǭǿȍȏȫȭȯȱṍṏṑṓọỏốồổỗộớờởỡợɔº", "o"),
    ("œ", "oe"),
    ("ṕṗ", "p"),
    ("ŕŗřȑȓṙṛṝṟ", "r"),
    ("śŝşšșſṡṣṥṧṩ", "s"),
    ("ß", "ss"),
    ("ţťŧțṫṭṯṱẗ", "t"),
    ("þ", "th"),
    ("ùúûüũūŭůűųưǔǖǘǚǜȕȗṳṵṷṹṻụủứừửữự", "u"),
    ("ṽṿ", "v"),
    ("ŵẁẃẅẇẉẘ", "w"),
    ("ẋẍ", "x"),
    ("ýÿŷȳẏẙỳỵỷỹƴ", "y"),
    ("źżžẑẓẕƶ", "z"),
    // Greek.
    ("αά", "a"),
    ("β", "v"),
    ("γ", "g"),
    ("δ", "d"),
    ("εέ", "e"),
    ("ζ", "z"),
    ("ηήιίϊΐ", "i"),
    ("θ", "th"),
    ("κ", "k"),
    ("λ", "l"),
    ("μ", "m"),
    ("ν", "n"),
    ("ξ", "x"),
    ("οόωώ", "o"),
    ("π", "p"),
    ("ρ", "r"),
    ("σς", "s"),
    ("τ", "t"),
    ("υύϋΰ", "u"),
    ("φ", "f"),
    ("χ", "ch"),
    ("ψ", "ps"),
    // Cyrillic. The signs have no sound of their own.
    ("а", "a"),
    ("б", "b"),
    ("в", "v"),
    ("гґ", "g"),
    ("д", "d"),
    ("ђ", "dj"),
    ("еэ", "e"),
    ("ё", "yo"),
    ("є", "ye"),
    ("ж", "zh"),
    ("з", "z"),
    ("иі", "i"),
    ("ї", "yi"),
    ("й", "y"),
    ("ј", "j"),
    ("кќ", "k"),
    ("л", "l"),
    ("љ", "lj"),
    ("м", "m"),
    ("н", "n"),
    ("њ", "nj"),
    ("о", "o"),
    ("п", "p"),
    ("р", "r"),
    ("с", "s"),
    ("т", "t"),
    ("ћ", "c"),
    ("уў", "u"),
    ("ф", "f"),
    ("х", "kh"),
    ("ц", "ts"),
    ("ч", "ch"),
    ("џ", "dz"),
    ("ш", "sh"),
    ("щ", "shch"),
    ("ъь", ""),
    ("ы", "y"),
    ("ю", "yu"),
    ("я", "ya"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_lower_case_ascii_letters() {
        for letter in ('\u{80}'..='\u{24f}').chain('\u{370}'..='\u{4ff}').chain('\u{1e00}'..='\u{1eff}') {
            if let Some(spelled) = spell(letter) {
                assert!(spelled.bytes().all(|byte| byte.is_ascii_lowercase()), "{letter} is spelled {spelled}");
            }
        }
    }

    #[test]
    fn every_letter_of_european_names_is_spelled() {
        for letter in ('\u{c0}'..='\u{17f}').filter(|letter| letter.is_alphabetic()) {
            assert!(spell(letter).is_some(), "{letter}");
        }
    }

    #[test]
    fn case_makes_no_difference_and_other_scripts_are_left_alone() {
        assert_eq!((spell('Ö'), spell('ö'), spell('İ')), (Some("o"), Some("o"), Some("i")));
        assert_eq!((spell('王'), spell('א'), spell('🙂')), (None, None, None));
    }
}
