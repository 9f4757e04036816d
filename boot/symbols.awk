# SPDX-License-Identifier: BSD-2-Clause
# From `nm -n` to a C table of the image's functions, sorted by address: offsets from text_start, and their names.
# With no input, an empty table.
function value_of(digits,    i, number) {
    number = 0
    for (i = 1; i <= length(digits); i++)
        number = number * 16 + index("0123456789abcdef", substr(digits, i, 1)) - 1
    return number
}
# The low 32 bits suffice: the image lies within one GiB.
$3 == "text_start" { base = value_of(substr($1, 9)); seen = 1 }
$3 == "text_end"   { seen = 0 }
($2 == "t" || $2 == "T") && seen && $3 !~ /^(text_start|\.)/ {
    offsets[count] = value_of(substr($1, 9)) - base
    names[count++] = $3
}
END {
    print "/* Made by the build. */"
    print "#include \"hv/types.h\""
    section = " __attribute__((section(\".symbol_table\"), used))"
    print "extern const uint32_t symbol_count, symbol_offsets[], symbol_names[];"
    print "extern const char symbol_text[];"
    printf "const uint32_t symbol_count%s = %d;\n", section, count
    printf "const uint32_t symbol_offsets[]%s = {", section
    for (i = 0; i < count; i++)
        printf "%d,", offsets[i]
    print "0};"
    printf "const uint32_t symbol_names[]%s = {", section
    for (i = 0; i < count; i++) {
        printf "%d,", at
        at += length(names[i]) + 1
    }
    print "0};"
    printf "const char symbol_text[]%s =\n", section
    for (i = 0; i < count; i++)
        printf "    \"%s\\0\"\n", names[i]
    print "    \"\";"
}
