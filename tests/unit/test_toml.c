/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The TOML reader: each document is turned into one line per event, which is compared with what TOML 1.0 says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/toml.h"

static struct toml toml;
static struct diagnostics diagnostics;
static char output[1 << 16];
static size_t output_length;

static void PRINTF_LIKE(1, 2) print(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(output + output_length, sizeof(output) - output_length, format, arguments);
    va_end(arguments);
    assert_true(length >= 0 && (size_t)length < sizeof(output) - output_length);
    output_length += (size_t)length;
}

static void report(struct diagnostics *self, const char *line)
{
    assert_ptr_equal(self, &diagnostics);
    assert_null(strchr(line, '\n'));
    print("%s\n", line);
}

static void print_event(enum toml_event event)
{
    switch (event) {
    case TOML_TABLE:
        print("table");
        for (uint32_t i = 0; i < toml.path_length; i++)
            print(" %.*s", (int)toml.path[i].length, toml.path[i].text);
        print("\n");
        break;
    case TOML_TABLE_BAD: print("table bad\n"); break;
    case TOML_KEY: print("key %.*s\n", (int)toml.key.length, toml.key.text); break;
    case TOML_SCALAR:
        print("%u:%u ", toml.value.position.line, toml.value.position.column);
        if (toml.value.type == TOML_STRING) {
            assert_int_equal(toml.value.text[toml.value.length], 0);
            print("<%.*s>\n", (int)toml.value.length, toml.value.text);
        } else if (toml.value.type == TOML_INTEGER) {
            print("%lld\n", (long long)toml.value.integer);
        } else {
            print("%s\n", toml.value.boolean ? "true" : "false");
        }
        break;
    case TOML_ARRAY: print("array\n"); break;
    case TOML_ARRAY_END: print("end\n"); break;
    case TOML_BAD: print("bad\n"); break;
    case TOML_END: break;
    }
}

/* The text is copied to its exact size, so that the sanitizer sees every byte read behind it. */
static const char *read_bytes(const char *text, size_t size)
{
    char *copy = malloc(size ? size : 1);
    enum toml_event event;

    memcpy(copy, text, size);
    memset(&diagnostics, 0, sizeof(diagnostics));
    diagnostics.report = report;
    output_length = 0;
    output[0] = '\0';
    toml_begin(&toml, "f", copy, size, &diagnostics);
    do {
        event = toml_next(&toml);
        print_event(event);
    } while (event != TOML_END);
    assert_int_equal(toml_next(&toml), TOML_END);
    free(copy);
    return output;
}

static const char *read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

static void test_document(void **state)
{
    (void)state;
    assert_string_equal(read_text(""), "");
    assert_string_equal(read_text(" \t\n# only a comment"), "");
    assert_string_equal(read_text("a = 1\n[ b . c-d ] # comment\r\n\tx_1\t=\t'v'#c\n[b]\n9=true\n[c]"),
                        "key a\n1:5 1\ntable b c-d\nkey x_1\n3:8 <v>\ntable b\nkey 9\n5:3 true\ntable c\n");
    assert_int_equal(diagnostics.errors, 0);
}

static void test_arrays(void **state)
{
    (void)state;
    assert_string_equal(read_text("a=[]\nb=[ ]\nc=[1,2]\nd = [ # one\n\n 'x', # two\r\n true ,\n]\ne=false"),
                        "key a\narray\nend\nkey b\narray\nend\nkey c\narray\n3:4 1\n3:6 2\nend\n"
                        "key d\narray\n6:2 <x>\n7:2 true\nend\nkey e\n9:3 false\n");
    assert_int_equal(diagnostics.errors, 0);
}

static void test_strings(void **state)
{
    (void)state;
    assert_string_equal(read_text("a = \"\"\nb = ''\nc='\\n \"'\nd=\"\\b\\t\\n\\f\\r\\\"\\\\\""),
                        "key a\n1:5 <>\nkey b\n2:5 <>\nkey c\n3:3 <\\n \">\nkey d\n4:3 <\b\t\n\f\r\"\\>\n");
    assert_string_equal(
        read_text("a=\"\\u0041\\u00e9\\uFFFF\\U0001F600\\U0010ffff\\u0080\\u07ff\\u0800\""),
        "key a\n1:3 <A\xc3\xa9\xef\xbf\xbf\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\xc2\x80\xdf\xbf\xe0\xa0\x80>\n");
    assert_int_equal(diagnostics.errors, 0);
    read_text("a=\"x\\u0000y\"");
    assert_int_equal(diagnostics.errors, 0);
    assert_int_equal(toml.value.length, 3);
    assert_memory_equal(toml.value.text, "x\0y", 4);
}

/* A column is a character, not a byte. */
static void test_columns(void **state)
{
    (void)state;
    assert_string_equal(read_text("a = [\"\xc3\xa9\xf0\x9f\x98\x80\", 1]\n"),
                        "key a\narray\n1:6 <\xc3\xa9\xf0\x9f\x98\x80>\n1:12 1\nend\n");
}

static void test_integers(void **state)
{
    (void)state;
    assert_string_equal(read_text("a=[0,+0,-0,12,-1_000,0xfF,0x0_1,0o17,0b101,9223372036854775807,"
                                  "-9223372036854775808,0x7fffffffffffffff]"),
                        "key a\narray\n1:4 0\n1:6 0\n1:9 0\n1:12 12\n1:15 -1000\n1:22 255\n1:27 1\n1:33 15\n1:38 5\n"
                        "1:44 9223372036854775807\n1:64 -9223372036854775808\n1:85 9223372036854775807\nend\n");
    assert_int_equal(diagnostics.errors, 0);
}

/* Each value is refused with a message that has this in it; the next line is read as ever. */
static void test_bad_values(void **state)
{
    static const struct {
        const char *value;
        const char *message;
    } cases[] = {
        {"", "f:1:5: a value is missing before the end of the line\n"},
        {"# c", "f:1:5: a value is missing before \"#\"\n"},
        {"512M", "f:1:5: 512M is no integer; if it is meant as a string, write \"512M\"\n"},
        {"5s", "write \"5s\"\n"},
        {"linux", "f:1:5: a string needs quotes: write \"linux\"\n"},
        {"True", "write true\n"},
        {"off", "write false\n"},
        {"truex", "a string needs quotes"},
        {"017", "must not begin with 0"},
        {"+00", "must not begin with 0"},
        {"0_1", "must not begin with 0"},
        {"1__0", "underscore"},
        {"1_", "underscore"},
        {"_1", "needs quotes"},
        {"+_1", "is no integer"},
        {"0x_1", "is no integer"},
        {"0x", "0x is no integer; behind 0x, 0o and 0b stand digits of base 16, 8 and 2\n"},
        {"0x1G", "0x1G is no integer; behind 0x"},
        {"16.5M", "16.5M is no integer; if it is meant as a string"},
        {"0X1", "is no integer"},
        {"-0x1", "is no integer"},
        {"0b2", "is no integer"},
        {"0o8", "is no integer"},
        {"+", "is no integer"},
        {"- 1", "is no integer"},
        {"1 2", "f:1:7: unexpected \"2\" behind the value"},
        {"1}", "unexpected \"}\""},
        {"'a' 'b'", "unexpected \"'\""},
        {"9223372036854775808", "does not fit into 64 bits"},
        {"-9223372036854775809", "does not fit into 64 bits"},
        {"0x8000000000000000", "does not fit into 64 bits"},
        {"99999999999999999999999999999999999999999999999999", "does not fit into 64 bits"},
        {"1.5", "floating-point"},
        {"-1e5", "floating-point"},
        {"6.022E+23", "floating-point"},
        {"inf", "floating-point"},
        {"+nan", "floating-point"},
        {"1979-05-27", "dates and times"},
        {"1979-05-27T07:32:00Z", "dates and times"},
        {"07:32:00", "dates and times"},
        {"{ a = 1 }", "f:1:5: inline tables are not supported; write a [table] of its own\n"},
        {"[1, [2, 3], 4]", "f:1:9: arrays within arrays are not supported"},
        {"[[\n1],\n'x',\n]", "arrays within arrays are not supported"},
        {"[1 2]", "f:1:8: expected \",\" or \"]\" in the array, found \"2\"\n"},
        {"[,]", "a value is missing before \",\""},
        {"[1,,2]", "a value is missing before \",\""},
        {"[1, 2", "f:1:5: the array that begins here is not closed; end it with ]\n"},
        {"[", "f:1:5: the array that begins here is not closed; end it with ]\n"},
        {"[1,\n# ]\n", "f:1:5: the array that begins here is not closed; end it with ]\n"},
        {"['a, 'b'] # ]", "f:1:11: expected \",\" or \"]\" in the array, found \"b\"\n"},
        {"[1] 2", "unexpected \"2\" behind the array"},
        {"\"abc", "f:1:5: the string that begins here is not closed; end it with \"\n"},
        {"'abc\\'d'", "unexpected \"d\""},
        {"'abc", "end it with '\n"},
        {"\"\"\"a\nb = '''\nc\\\"\"\"\" \"\"\"", "strings of several lines are not supported"},
        {"\"\"\"a\\\"\"\"\nb = [\n\"\"\"", "strings of several lines are not supported"},
        {"'''a\nb = \"\n'''", "strings of several lines are not supported"},
        {"\"\"\"", "strings of several lines are not supported"},
        {"\"a\\q\"", "f:1:7: unknown escape"},
        {"\"\\", "not closed"},
        {"\"\\u12\"", "f:1:6: this escape takes 4 hexadecimal digits"},
        {"\"\\U0001\"", "this escape takes 8 hexadecimal digits"},
        {"\"\\ud800\"", "0xd800 is no Unicode character"},
        {"\"\\U00110000\"", "0x110000 is no Unicode character"},
        {"\"\\Uffffffff\"", "0xffffffff is no Unicode character"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), "a = %s\nlast = 5\n", cases[i].value);
        read_text(text);
        if (!strstr(output, cases[i].message))
            fail_msg("%s: no \"%s\" in:\n%s", text, cases[i].message, output);
        if (diagnostics.errors != 1 && strcmp(cases[i].value, "\"\\") != 0)
            fail_msg("%s: %u errors:\n%s", text, diagnostics.errors, output);
        if (!strstr(output, "key last\n"))
            fail_msg("%s: the line behind it is lost:\n%s", text, output);
    }
}

/* The same for whole lines. */
static void test_bad_lines(void **state)
{
    static const struct {
        const char *line;
        const char *message;
    } cases[] = {
        {"= 1", "f:1:1: expected a key or a [table], found \"=\"\n"},
        {"key", "f:1:4: expected \"=\" behind the key \"key\", found the end of the line\n"},
        {"load address = 1", "f:1:6: expected \"=\" behind the key \"load\", found \"address\"\n"},
        {"key: 1", "found \":\""},
        {"\"key\" = 1", "names in quotes are not supported"},
        {"'key' = 1", "names in quotes are not supported"},
        {"a.b = 1", "keys with a dot are not supported"},
        {"a . b = 1", "keys with a dot are not supported"},
        {"\xc3\xa9 = 1", "expected a key or a [table]"},
        {"[]", "f:1:2: expected the name of a table, found \"]\"\n"},
        {"[a", "f:1:3: expected \"]\" behind the name of the table, found the end of the line\n"},
        {"[a b]", "expected \"]\""},
        {"[a.]", "expected the name of a table"},
        {"[.a]", "expected the name of a table"},
        {"[a..b]", "expected the name of a table"},
        {"[\"a\"]", "names in quotes are not supported"},
        {"[a] b = 1", "unexpected \"b\" behind the table's name"},
        {"[[a]]", "arrays of tables are not supported"},
        {"[a.b.c.d.e]", "a table has at most 4 names"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), "%s\n[t]\nlast = 5\n", cases[i].line);
        read_text(text);
        if (!strstr(output, cases[i].message) || diagnostics.errors != 1)
            fail_msg("%s: not one \"%s\" in:\n%s", text, cases[i].message, output);
        if (!strstr(output, "table t\nkey last\n"))
            fail_msg("%s: the line behind it is lost:\n%s", text, output);
    }
}

static void test_duplicates(void **state)
{
    (void)state;
    assert_string_equal(
        read_text("a = 1\na = [2]\nb = 3"),
        "key a\n1:5 1\nf:2:1: key \"a\" is there already (line 1); remove one of the two\nkey b\n3:5 3\n");
    assert_string_equal(read_text("[a]\nx = 1\n[a]\nx = 2\n[b]\nx = 3"),
                        "table a\nkey x\n2:5 1\n"
                        "f:3:1: table [a] is there already (line 1); give this one another name\ntable bad\n"
                        "table b\nkey x\n6:5 3\n");
    assert_string_equal(read_text("[a]\nb = 1\n[a.b]\n"),
                        "table a\nkey b\n2:5 1\n"
                        "f:3:4: \"b\" is a key already (line 2); it cannot be a table too\ntable bad\n");
    assert_string_equal(read_text("[a.b.c]\n[a]\nb = 1\n[a.b]\nc.x = 1\n[a.b]\n"),
                        "table a b c\ntable a\nf:3:1: \"b\" is a table already (line 1); it cannot be a key too\n"
                        "table a b\nf:5:1: keys with a dot are not supported; write a [table] and the key in it\nbad\n"
                        "f:6:1: table [a.b] is there already (line 4); give this one another name\ntable bad\n");
    /* the same name in other tables, and in other letters, is another one */
    read_text("x = 1\nX = 1\n[a]\nx = 1\n[b]\nx = 1\n[a.x2]\n[A]\n");
    assert_int_equal(diagnostics.errors, 0);
}

static void test_unclosed_array_ends_at_next_statement(void **state)
{
    (void)state;
    assert_string_equal(read_text("a = [1,\n 2\nb = 3\n"),
                        "key a\narray\n1:6 1\n2:2 2\n"
                        "f:1:5: the array that begins here is not closed; end it with ]\nend\nkey b\n3:5 3\n");
    assert_string_equal(read_text("a = [1,\n[b]\nc = 3\n"),
                        "key a\narray\n1:6 1\n"
                        "f:1:5: the array that begins here is not closed; end it with ]\nend\ntable b\nkey c\n3:5 3\n");
}

static void test_bad_bytes(void **state)
{
    static const struct {
        const char *text;
        size_t size;
        const char *message;
    } cases[] = {
        {"\xef\xbb\xbf[a]", 6,
         "f:1:1: the file begins with a byte order mark; save it as UTF-8 without one\ntable a\n"},
        {"# \xff", 3, "f:1:3: byte 0xff is not valid UTF-8; save the file as UTF-8\n"},
        {"# \xc3", 3, "byte 0xc3 is not valid UTF-8"},
        {"# \xc0\x80", 4, "byte 0xc0 is not valid UTF-8"},
        {"# \xe0\x80\x80", 5, "byte 0xe0 is not valid UTF-8"},
        {"# \xed\xa0\x80", 5, "byte 0xed is not valid UTF-8"},
        {"# \xf4\x90\x80\x80", 6, "byte 0xf4 is not valid UTF-8"},
        {"# \xf5\x80\x80\x80", 6, "byte 0xf5 is not valid UTF-8"},
        {"# \x80", 3, "byte 0x80 is not valid UTF-8"},
        {"# a\rb", 5, "f:1:4: a carriage return without a line feed"},
        {"a = 1\r", 6, "f:1:6: a carriage return without a line feed"},
        {"# \x7f", 3, "control character 0x7f is not allowed"},
        {"# \0", 3, "control character 0x00 is not allowed"},
        {"a = '\x1b[2J'", 10, "f:1:6: control character 0x1b is not allowed; in a string write \"\\u001b\"\n"},
        {"a\0b = 1", 7, "f:1:2: control character 0x00 is not allowed"},
        {"\0", 1, "f:1:1: control character 0x00 is not allowed"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        read_bytes(cases[i].text, cases[i].size);
        if (!strstr(output, cases[i].message) || diagnostics.errors != 1)
            fail_msg("case %zu: not one \"%s\" in:\n%s", i, cases[i].message, output);
    }
    /* tabs, and characters beyond ASCII, are welcome */
    read_text("# \t\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xee\x80\x80\na = \"\t\xef\xbf\xbf\"\n");
    assert_int_equal(diagnostics.errors, 0);
}

static void test_limits(void **state)
{
    static char text[TOML_SIZE_MAX + 2];
    size_t at = 0;

    (void)state;
    for (size_t length = TOML_STRING_MAX; length <= TOML_STRING_MAX + 1; length++) {
        at = (size_t)sprintf(text, "a = \"");
        memset(text + at, 'x', length);
        strcpy(text + at + length, "\"\nb = 1");
        read_text(text);
        assert_int_equal(diagnostics.errors, length > TOML_STRING_MAX);
        assert_non_null(strstr(output, "key b\n"));
    }
    assert_non_null(strstr(output, "f:1:5: the string is longer than 2047 bytes, which is the most\nbad\n"));

    /* a character that fits only in part */
    at = (size_t)sprintf(text, "a = \"");
    memset(text + at, 'x', TOML_STRING_MAX - 1);
    strcpy(text + at + TOML_STRING_MAX - 1, "\\u20ac\"");
    read_text(text);
    assert_int_equal(diagnostics.errors, 1);

    at = 0;
    for (unsigned i = 0; i < TOML_NODES_MAX; i++)
        at += (size_t)sprintf(text + at, "k%u=1\n", i);
    read_text(text);
    assert_int_equal(diagnostics.errors, 0);
    strcpy(text + at, "x=1\ny=1\n[t]\n[u]");
    read_text(text);
    assert_non_null(strstr(output, "f:513:1: the file has more than 512 keys and tables\n"));
    assert_true(diagnostics.errors >= 1);

    memset(text, '\n', sizeof(text));
    read_bytes(text, TOML_SIZE_MAX);
    assert_int_equal(diagnostics.errors, 0);
    assert_string_equal(read_bytes(text, TOML_SIZE_MAX + 1),
                        "f:1:1: the file has 1048577 bytes; 1048576 are the most\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_document),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_unclosed_array_ends_at_next_statement),
        cmocka_unit_test(test_bad_bytes),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests_name("toml", tests, NULL, NULL);
}
