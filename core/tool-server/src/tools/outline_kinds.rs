//! Which syntax nodes are symbols, by language.

/// A syntax node that declares a symbol, and what kind of symbol.
pub type Rule = (&'static str, &'static str);

/// The rules of a language; empty for those without an outline.
pub fn rules(language: &str) -> &'static [Rule] {
    match language {
        "python" => &[
            ("class_definition", "class"),
            ("function_definition", "function"),
        ],
        "javascript" => JAVASCRIPT,
        "typescript" | "tsx" => TYPESCRIPT,
        "rust" => &[
            ("function_item", "function"),
            ("function_signature_item", "function"),
            ("struct_item", "struct"),
            ("enum_item", "enum"),
            ("union_item", "union"),
            ("trait_item", "trait"),
            ("impl_item", "impl"),
            ("mod_item", "module"),
            ("macro_definition", "macro"),
            ("const_item", "constant"),
            ("static_item", "constant"),
            ("type_item", "type"),
        ],
        "go" => &[
            ("function_declaration", "function"),
            ("method_declaration", "method"),
            ("type_spec", "type"),
            ("type_alias", "type"),
            ("const_spec", "constant"),
        ],
        "java" => &[
            ("class_declaration", "class"),
            ("interface_declaration", "interface"),
            ("enum_declaration", "enum"),
            ("record_declaration", "class"),
            ("annotation_type_declaration", "interface"),
            ("method_declaration", "method"),
            ("constructor_declaration", "constructor"),
        ],
        "c" | "cpp" => &[
            ("function_definition", "function"),
            ("struct_specifier", "struct"),
            ("union_specifier", "union"),
            ("enum_specifier", "enum"),
            ("class_specifier", "class"),
            ("namespace_definition", "namespace"),
            ("type_definition", "type"),
            ("preproc_function_def", "macro"),
        ],
        "csharp" => &[
            ("namespace_declaration", "namespace"),
            ("file_scoped_namespace_declaration", "namespace"),
            ("class_declaration", "class"),
            ("record_declaration", "class"),
            ("struct_declaration", "struct"),
            ("interface_declaration", "interface"),
            ("enum_declaration", "enum"),
            ("method_declaration", "method"),
            ("constructor_declaration", "constructor"),
            ("property_declaration", "property"),
        ],
        "ruby" => &[
            ("class", "class"),
            ("module", "module"),
            ("method", "method"),
            ("singleton_method", "method"),
        ],
        "php" => &[
            ("namespace_definition", "namespace"),
            ("class_declaration", "class"),
            ("interface_declaration", "interface"),
            ("trait_declaration", "trait"),
            ("enum_declaration", "enum"),
            ("function_definition", "function"),
            ("method_declaration", "method"),
        ],
        "bash" => &[("function_definition", "function")],
        _ => &[],
    }
}

const JAVASCRIPT: &[Rule] = &[
    ("class_declaration", "class"),
    ("function_declaration", "function"),
    ("generator_function_declaration", "function"),
    ("method_definition", "method"),
    ("variable_declarator", "function"),
];

const TYPESCRIPT: &[Rule] = &[
    ("class_declaration", "class"),
    ("abstract_class_declaration", "class"),
    ("function_declaration", "function"),
    ("generator_function_declaration", "function"),
    ("function_signature", "function"),
    ("method_definition", "method"),
    ("method_signature", "method"),
    ("abstract_method_signature", "method"),
    ("interface_declaration", "interface"),
    ("type_alias_declaration", "type"),
    ("enum_declaration", "enum"),
    ("internal_module", "namespace"),
    ("variable_declarator", "function"),
];
