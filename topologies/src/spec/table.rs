//! Tables of the file format, written once: the struct, its JSON Schema, its writer and its reader.
//!
//! Every key becomes an `Option<Spanned<…>>` field. Because one list of keys makes both the struct and the reader, a key
//! cannot be documented and not read, or read and not documented. `+ part: Part;` puts the keys of another such struct
//! into the same table.

/// Declares a struct that is read from a table. `key: Type;` or `field = "key": Type;`, with `, required` when the key
/// must be present. The crate that uses it needs `serde` (with `derive`) and `schemars`.
#[macro_export]
macro_rules! table {
    ($(#[$meta:meta])* $name:ident {
        $(+ $(#[$part_doc:meta])* $part:ident : $part_ty:ty;)*
        $($(#[$doc:meta])* $field:ident $(= $key:literal)? : $ty:ty $(, $required:ident)? ;)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub struct $name {
            $(
                $(#[$part_doc])*
                #[serde(flatten)]
                pub $part: $part_ty,
            )*
            $(
                $(#[$doc])*
                #[serde($(rename = $key,)? skip_serializing_if = "Option::is_none")]
                $(#[schemars($required)])?
                pub $field: Option<$crate::source::Spanned<$ty>>,
            )*
        }

        impl $crate::spec::read::ReadFields for $name {
            fn read_fields(
                fields: &mut $crate::spec::read::Fields<'_, '_>,
                reader: &mut $crate::spec::read::Reader,
            ) -> Self {
                Self {
                    $($part: <$part_ty as $crate::spec::read::ReadFields>::read_fields(fields, reader),)*
                    $($field: {
                        let key = $crate::__key!($field $(, $key)?);
                        $crate::__take!(fields, reader, key $(, $required)?)
                    }),*
                }
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident, $key:literal) => {
        $key
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __take {
    ($fields:ident, $reader:ident, $key:ident) => {
        $fields.take($key, $reader)
    };
    ($fields:ident, $reader:ident, $key:ident, required) => {
        $fields.take_required($key, $reader)
    };
}
