/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The decoder against a table of encodings. Each expected text is what an independent disassembler says of the bytes,
 * in the short notation of render(): destination, source, memory as size[segment:address].
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/decode.h"
#include "hv/error.h"

static const char *const operation_names[OPERATION_COUNT] = {
    [OPERATION_MOV] = "mov",
    [OPERATION_MOVZX] = "movzx",
    [OPERATION_MOVSX] = "movsx",
    [OPERATION_MOVBE] = "movbe",
    [OPERATION_MOVNTI] = "movnti",
    [OPERATION_CMOV] = "cmov",
    [OPERATION_SET] = "set",
    [OPERATION_ADD] = "add",
    [OPERATION_OR] = "or",
    [OPERATION_ADC] = "adc",
    [OPERATION_SBB] = "sbb",
    [OPERATION_AND] = "and",
    [OPERATION_SUB] = "sub",
    [OPERATION_XOR] = "xor",
    [OPERATION_CMP] = "cmp",
    [OPERATION_TEST] = "test",
    [OPERATION_INC] = "inc",
    [OPERATION_DEC] = "dec",
    [OPERATION_NOT] = "not",
    [OPERATION_NEG] = "neg",
    [OPERATION_ROL] = "rol",
    [OPERATION_ROR] = "ror",
    [OPERATION_RCL] = "rcl",
    [OPERATION_RCR] = "rcr",
    [OPERATION_SHL] = "shl",
    [OPERATION_SHR] = "shr",
    [OPERATION_SAR] = "sar",
    [OPERATION_BT] = "bt",
    [OPERATION_BTS] = "bts",
    [OPERATION_BTR] = "btr",
    [OPERATION_BTC] = "btc",
    [OPERATION_XCHG] = "xchg",
    [OPERATION_XADD] = "xadd",
    [OPERATION_CMPXCHG] = "cmpxchg",
    [OPERATION_CMPXCHG_PAIR] = "cmpxchg_pair",
    [OPERATION_MOV_SEGMENT] = "mov_segment",
    [OPERATION_PUSH] = "push",
    [OPERATION_POP] = "pop",
    [OPERATION_PUSHF] = "pushf",
    [OPERATION_POPF] = "popf",
    [OPERATION_MOVS] = "movs",
    [OPERATION_CMPS] = "cmps",
    [OPERATION_STOS] = "stos",
    [OPERATION_LODS] = "lods",
    [OPERATION_SCAS] = "scas",
    [OPERATION_INS] = "ins",
    [OPERATION_OUTS] = "outs",
    [OPERATION_IN] = "in",
    [OPERATION_OUT] = "out",
    [OPERATION_MOV_CONTROL] = "mov_control",
    [OPERATION_MOV_DEBUG] = "mov_debug",
    [OPERATION_LMSW] = "lmsw",
    [OPERATION_SMSW] = "smsw",
    [OPERATION_CLTS] = "clts",
    [OPERATION_LGDT] = "lgdt",
    [OPERATION_SGDT] = "sgdt",
    [OPERATION_LIDT] = "lidt",
    [OPERATION_SIDT] = "sidt",
    [OPERATION_LLDT] = "lldt",
    [OPERATION_SLDT] = "sldt",
    [OPERATION_LTR] = "ltr",
    [OPERATION_STR] = "str",
    [OPERATION_INT] = "int",
    [OPERATION_INT3] = "int3",
    [OPERATION_INTO] = "into",
    [OPERATION_INT1] = "int1",
    [OPERATION_IRET] = "iret",
    [OPERATION_CALL_FAR] = "call_far",
    [OPERATION_JMP_FAR] = "jmp_far",
    [OPERATION_RET_FAR] = "ret_far",
    [OPERATION_INVD] = "invd",
    [OPERATION_WBINVD] = "wbinvd",
    [OPERATION_INVLPG] = "invlpg",
    [OPERATION_INVPCID] = "invpcid",
    [OPERATION_CLFLUSH] = "clflush",
    [OPERATION_CPUID] = "cpuid",
    [OPERATION_HLT] = "hlt",
    [OPERATION_RDMSR] = "rdmsr",
    [OPERATION_WRMSR] = "wrmsr",
    [OPERATION_RDTSC] = "rdtsc",
    [OPERATION_RDTSCP] = "rdtscp",
    [OPERATION_RDPMC] = "rdpmc",
    [OPERATION_RDPRU] = "rdpru",
    [OPERATION_XGETBV] = "xgetbv",
    [OPERATION_XSETBV] = "xsetbv",
    [OPERATION_MONITOR] = "monitor",
    [OPERATION_MWAIT] = "mwait",
    [OPERATION_MONITORX] = "monitorx",
    [OPERATION_MWAITX] = "mwaitx",
    [OPERATION_PAUSE] = "pause",
    [OPERATION_NOP] = "nop",
    [OPERATION_SWAPGS] = "swapgs",
    [OPERATION_RSM] = "rsm",
    [OPERATION_GETSEC] = "getsec",
    [OPERATION_VMCALL] = "vmcall",
    [OPERATION_VMMCALL] = "vmmcall",
    [OPERATION_VMRUN] = "vmrun",
    [OPERATION_VMLOAD] = "vmload",
    [OPERATION_VMSAVE] = "vmsave",
    [OPERATION_STGI] = "stgi",
    [OPERATION_CLGI] = "clgi",
    [OPERATION_SKINIT] = "skinit",
    [OPERATION_INVLPGA] = "invlpga",
    [OPERATION_VMLAUNCH] = "vmlaunch",
    [OPERATION_VMRESUME] = "vmresume",
    [OPERATION_VMXOFF] = "vmxoff",
    [OPERATION_VMXON] = "vmxon",
    [OPERATION_VMCLEAR] = "vmclear",
    [OPERATION_VMPTRLD] = "vmptrld",
    [OPERATION_VMPTRST] = "vmptrst",
    [OPERATION_VMREAD] = "vmread",
    [OPERATION_VMWRITE] = "vmwrite",
    [OPERATION_VMFUNC] = "vmfunc",
    [OPERATION_INVEPT] = "invept",
    [OPERATION_INVVPID] = "invvpid",
};

static const char *const registers_64[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                             "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
static const char *const registers_32[8] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
static const char *const registers_16[8] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};
static const char *const registers_8[8] = {"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"};
static const char *const registers_high[8] = {"", "", "", "", "ah", "ch", "dh", "bh"};
static const char *const segments[8] = {"es", "cs", "ss", "ds", "fs", "gs", "?", "?"};

/* The mode, the bytes in hexadecimal, what they mean. */
struct sample {
    unsigned mode;
    const char *bytes;
    const char *text;
};

static const struct sample samples[] = {
    {64, "8808", "mov 1[ds:rax+0x0], cl w"},
    {64, "8820", "mov 1[ds:rax+0x0], ah w"},
    {64, "408830", "mov 1[ds:rax+0x0], sil w"},
    {64, "458808", "mov 1[ds:r8+0x0], r9b w"},
    {64, "66895704", "mov 2[ds:rdi+0x4], dx w"},
    {64, "898710030000", "mov 4[ds:rdi+0x310], eax w"},
    {64, "4c893f", "mov 8[ds:rdi+0x0], r15 w"},
    {64, "8a0534120000", "mov al, 1[ds:rip+0x1234] r"},
    {64, "8b05f0ffffff", "mov eax, 4[ds:rip-0x10] r"},
    {64, "678b0510000000", "mov eax, 4[ds:eip+0x10] r"},
    {64, "8b87b0000000", "mov eax, 4[ds:rdi+0xb0] r"},
    {64, "458b5500", "mov r10d, 4[ds:r13+0x0] r"},
    {64, "498b0424", "mov rax, 8[ds:r12+0x0] r"},
    {64, "8b0424", "mov eax, 4[ss:rsp+0x0] r"},
    {64, "8b45f8", "mov eax, 4[ss:rbp-0x8] r"},
    {64, "8b448810", "mov eax, 4[ds:rax+rcx*4+0x10] r"},
    {64, "438b44e080", "mov eax, 4[ds:r8+r12*8-0x80] r"},
    {64, "428b846d78563412", "mov eax, 4[ss:rbp+r13*2+0x12345678] r"},
    {64, "8b04cd00100000", "mov eax, 4[ds:+rcx*8+0x1000] r"},
    {64, "a12000e0fe00000000", "mov eax, 4[ds:+0xfee00020] r"},
    {64, "678b444804", "mov eax, 4[ds:eax+ecx*2+0x4] r"},
    {64, "67418b00", "mov eax, 4[ds:r8d+0x0] r"},
    {64, "648b042528000000", "mov eax, 4[fs:+0x28] r"},
    {64, "65488b03", "mov rax, 8[gs:rbx+0x0] r"},
    {64, "89c3", "mov ebx, eax"},
    {64, "88c7", "mov bh, al"},
    {64, "a08877665544332211", "mov al, 1[ds:+0x1122334455667788] r"},
    {64, "a18877665544332211", "mov eax, 4[ds:+0x1122334455667788] r"},
    {64, "48a18877665544332211", "mov rax, 8[ds:+0x1122334455667788] r"},
    {64, "a28877665544332211", "mov 1[ds:+0x1122334455667788], al w"},
    {64, "66a30000e0fe0000e0fe", "mov 2[ds:-0x11fffff01200000], ax w"},
    {64, "48a38877665544332211", "mov 8[ds:+0x1122334455667788], rax w"},
    {64, "c60080", "mov 1[ds:rax+0x0], -0x80 w"},
    {64, "66c7000080", "mov 2[ds:rax+0x0], -0x8000 w"},
    {64, "c74020efcdab89", "mov 4[ds:rax+0x20], -0x76543211 w"},
    {64, "48c700feffffff", "mov 8[ds:rax+0x0], -0x2 w"},
    {64, "c70500010000ff000000", "mov 4[ds:rip+0x100], +0xff w"},
    {64, "8c18", "mov_segment 2[ds:rax+0x0], ds w"},
    {64, "8ce0", "mov_segment eax, fs"},
    {64, "8ce8", "mov_segment eax, gs"},
    {64, "8e10", "mov_segment ss, 2[ds:rax+0x0] r"},
    {64, "8ec1", "mov_segment es, cx"},
    {64, "0fb607", "movzx eax, 1[ds:rdi+0x0] r"},
    {64, "480fb607", "movzx rax, 1[ds:rdi+0x0] r"},
    {64, "660fb607", "movzx ax, 1[ds:rdi+0x0] r"},
    {64, "440fb74f02", "movzx r9d, 2[ds:rdi+0x2] r"},
    {64, "0fbe07", "movsx eax, 1[ds:rdi+0x0] r"},
    {64, "480fbf07", "movsx rax, 2[ds:rdi+0x0] r"},
    {64, "486307", "movsx rax, 4[ds:rdi+0x0] r"},
    {64, "4c63c1", "movsx r8, ecx"},
    {64, "0f38f007", "movbe eax, 4[ds:rdi+0x0] r"},
    {64, "660f38f10f", "movbe 2[ds:rdi+0x0], cx w"},
    {64, "4c0f38f10f", "movbe 8[ds:rdi+0x0], r9 w"},
    {64, "0fc307", "movnti 4[ds:rdi+0x0], eax w"},
    {64, "480fc307", "movnti 8[ds:rdi+0x0], rax w"},
    {64, "0f4507", "cmov.5 eax, 4[ds:rdi+0x0] r"},
    {64, "480f4f07", "cmov.15 rax, 8[ds:rdi+0x0] r"},
    {64, "0f9407", "set.4 1[ds:rdi+0x0] w"},
    {64, "0f9f4701", "set.15 1[ds:rdi+0x1] w"},
    {64, "0f92c0", "set.2 al"},
    {64, "a4", "movs 1[es:rdi], 1[ds:rsi]"},
    {64, "66a5", "movs 2[es:rdi], 2[ds:rsi]"},
    {64, "a5", "movs 4[es:rdi], 4[ds:rsi]"},
    {64, "48a5", "movs 8[es:rdi], 8[ds:rsi]"},
    {64, "f3a4", "f3 movs 1[es:rdi], 1[ds:rsi]"},
    {64, "f348a5", "f3 movs 8[es:rdi], 8[ds:rsi]"},
    {64, "f3ab", "f3 stos 4[es:rdi], eax"},
    {64, "aa", "stos 1[es:rdi], al"},
    {64, "66ab", "stos 2[es:rdi], ax"},
    {64, "f348ab", "f3 stos 8[es:rdi], rax"},
    {64, "ac", "lods al, 1[ds:rsi]"},
    {64, "48ad", "lods rax, 8[ds:rsi]"},
    {64, "f3a6", "f3 cmps 1[ds:rsi], 1[es:rdi]"},
    {64, "a7", "cmps 4[ds:rsi], 4[es:rdi]"},
    {64, "f2ae", "f2 scas al, 1[es:rdi]"},
    {64, "48af", "scas rax, 8[es:rdi]"},
    {64, "6c", "ins 1[es:rdi], dx"},
    {64, "66f36d", "f3 ins 2[es:rdi], dx"},
    {64, "6d", "ins 4[es:rdi], dx"},
    {64, "f36e", "f3 outs dx, 1[ds:rsi]"},
    {64, "6f", "outs dx, 4[ds:rsi]"},
    {64, "0008", "add 1[ds:rax+0x0], cl rw"},
    {64, "f00108", "lock add 4[ds:rax+0x0], ecx rw"},
    {64, "0308", "add ecx, 4[ds:rax+0x0] r"},
    {64, "0208", "add cl, 1[ds:rax+0x0] r"},
    {64, "810880000000", "or 4[ds:rax+0x0], +0x80 rw"},
    {64, "800801", "or 1[ds:rax+0x0], +0x1 rw"},
    {64, "f0488308ff", "lock or 8[ds:rax+0x0], -0x1 rw"},
    {64, "1110", "adc 4[ds:rax+0x0], edx rw"},
    {64, "481b10", "sbb rdx, 8[ds:rax+0x0] r"},
    {64, "81a7f0000000fffeffff", "and 4[ds:rdi+0xf0], -0x101 rw"},
    {64, "2307", "and eax, 4[ds:rdi+0x0] r"},
    {64, "6681283412", "sub 2[ds:rax+0x0], +0x1234 rw"},
    {64, "80701055", "xor 1[ds:rax+0x10], +0x55 rw"},
    {64, "833800", "cmp 4[ds:rax+0x0], +0x0 r"},
    {64, "80387f", "cmp 1[ds:rax+0x0], +0x7f r"},
    {64, "3a00", "cmp al, 1[ds:rax+0x0] r"},
    {64, "3908", "cmp 4[ds:rax+0x0], ecx r"},
    {64, "0405", "add al, +0x5"},
    {64, "3500000080", "xor eax, -0x80000000"},
    {64, "ff00", "inc 4[ds:rax+0x0] rw"},
    {64, "f0fe08", "lock dec 1[ds:rax+0x0] rw"},
    {64, "66f710", "not 2[ds:rax+0x0] rw"},
    {64, "f048f718", "lock neg 8[ds:rax+0x0] rw"},
    {64, "f60020", "test 1[ds:rax+0x0], +0x20 r"},
    {64, "f70000000080", "test 4[ds:rax+0x0], -0x80000000 r"},
    {64, "8508", "test 4[ds:rax+0x0], ecx r"},
    {64, "8408", "test 1[ds:rax+0x0], cl r"},
    {64, "48f700f0ffffff", "test 8[ds:rax+0x0], -0x10 r"},
    {64, "8708", "xchg 4[ds:rax+0x0], ecx rw"},
    {64, "f08608", "lock xchg 1[ds:rax+0x0], cl rw"},
    {64, "f00fc108", "lock xadd 4[ds:rax+0x0], ecx rw"},
    {64, "0fc010", "xadd 1[ds:rax+0x0], dl rw"},
    {64, "0fa308", "bt 4[ds:rax+0x0], ecx r"},
    {64, "480fba203f", "bt 8[ds:rax+0x0], +0x3f r"},
    {64, "f00fba2805", "lock bts 4[ds:rax+0x0], +0x5 rw"},
    {64, "f0480fb308", "lock btr 8[ds:rax+0x0], rcx rw"},
    {64, "660fbb10", "btc 2[ds:rax+0x0], dx rw"},
    {64, "f00fb137", "lock cmpxchg 4[ds:rdi+0x0], esi rw"},
    {64, "0fb007", "cmpxchg 1[ds:rdi+0x0], al rw"},
    {64, "f00fc70f", "lock cmpxchg_pair 8[ds:rdi+0x0] rw"},
    {64, "f0480fc70f", "lock cmpxchg_pair 16[ds:rdi+0x0] rw"},
    {64, "ff30", "push.8 8[ds:rax+0x0] r"},
    {64, "66ff30", "push.2 2[ds:rax+0x0] r"},
    {64, "8f442408", "pop.8 8[ss:rsp+0x8] w"},
    {64, "668f00", "pop.2 2[ds:rax+0x0] w"},
    {64, "d120", "shl 4[ds:rax+0x0], +0x1 rw"},
    {64, "c02804", "shr 1[ds:rax+0x0], +0x4 rw"},
    {64, "48d338", "sar 8[ds:rax+0x0], cl rw"},
    {64, "66c10003", "rol 2[ds:rax+0x0], +0x3 rw"},
    {64, "d308", "ror 4[ds:rax+0x0], cl rw"},
    {64, "d010", "rcl 1[ds:rax+0x0], +0x1 rw"},
    {64, "c1181f", "rcr 4[ds:rax+0x0], +0x1f rw"},
    {64, "0fa2", "cpuid"},
    {64, "f4", "hlt"},
    {64, "0f32", "rdmsr"},
    {64, "0f30", "wrmsr"},
    {64, "0f31", "rdtsc"},
    {64, "0f01f9", "rdtscp"},
    {64, "0f33", "rdpmc"},
    {64, "0f01c1", "vmcall"},
    {64, "0f01d9", "vmmcall"},
    {64, "0f01d1", "xsetbv"},
    {64, "0f01d0", "xgetbv"},
    {64, "0f08", "invd"},
    {64, "0f09", "wbinvd"},
    {64, "f30f09", "f3 wbinvd"},
    {64, "0f01c8", "monitor"},
    {64, "0f01c9", "mwait"},
    {64, "0f01fa", "monitorx"},
    {64, "0f01fb", "mwaitx"},
    {64, "f390", "f3 pause"},
    {64, "90", "nop"},
    {64, "0f0138", "invlpg 0[ds:rax+0x0]"},
    {64, "410f017d08", "invlpg 0[ds:r13+0x8]"},
    {64, "660f388207", "invpcid rax, 16[ds:rdi+0x0] r"},
    {64, "0fae3f", "clflush 0[ds:rdi+0x0]"},
    {64, "660fae3f", "clflush 0[ds:rdi+0x0]"},
    {64, "660fae37", "clflush 0[ds:rdi+0x0]"},
    {64, "0f20c0", "mov_control rax, cr0"},
    {64, "0f22df", "mov_control cr3, rdi"},
    {64, "410f22e0", "mov_control cr4, r8"},
    {64, "440f20c0", "mov_control rax, cr8"},
    {64, "450f22c7", "mov_control cr8, r15"},
    {64, "0f21f8", "mov_debug rax, dr7"},
    {64, "410f23f1", "mov_debug dr6, r9"},
    {64, "0f01f0", "lmsw ax"},
    {64, "0f0130", "lmsw 2[ds:rax+0x0] r"},
    {64, "480f01e0", "smsw rax"},
    {64, "0f01e0", "smsw eax"},
    {64, "0f0120", "smsw 2[ds:rax+0x0] w"},
    {64, "0f06", "clts"},
    {64, "e460", "in al, +0x60"},
    {64, "e571", "in eax, +0x71"},
    {64, "e680", "out +0x80, al"},
    {64, "e7f8", "out +0xf8, eax"},
    {64, "ec", "in al, dx"},
    {64, "66ed", "in ax, dx"},
    {64, "ed", "in eax, dx"},
    {64, "ee", "out dx, al"},
    {64, "66ef", "out dx, ax"},
    {64, "ef", "out dx, eax"},
    {64, "cd80", "int.4 +0x80"},
    {64, "cc", "int3.4"},
    {64, "f1", "int1.4"},
    {64, "48cf", "iret.8"},
    {64, "cf", "iret.4"},
    {64, "66cf", "iret.2"},
    {64, "0f0110", "lgdt 10[ds:rax+0x0] r"},
    {64, "0f011d10000000", "lidt 10[ds:rip+0x10] r"},
    {64, "0f0100", "sgdt 10[ds:rax+0x0] w"},
    {64, "0f0108", "sidt 10[ds:rax+0x0] w"},
    {64, "0f00d0", "lldt ax"},
    {64, "0f0010", "lldt 2[ds:rax+0x0] r"},
    {64, "0f00d8", "ltr ax"},
    {64, "0f00c8", "str eax"},
    {64, "0f0008", "str 2[ds:rax+0x0] w"},
    {64, "0f00c0", "sldt eax"},
    {64, "0f01d8", "vmrun"},
    {64, "0f01da", "vmload"},
    {64, "0f01db", "vmsave"},
    {64, "0f01dc", "stgi"},
    {64, "0f01dd", "clgi"},
    {64, "0f01de", "skinit"},
    {64, "0f01df", "invlpga"},
    {64, "0f01c2", "vmlaunch"},
    {64, "0f01c3", "vmresume"},
    {64, "0f01c4", "vmxoff"},
    {64, "f30fc730", "f3 vmxon 8[ds:rax+0x0] r"},
    {64, "660fc730", "vmclear 8[ds:rax+0x0] r"},
    {64, "0fc730", "vmptrld 8[ds:rax+0x0] r"},
    {64, "0fc738", "vmptrst 8[ds:rax+0x0] w"},
    {64, "0f7808", "vmread 8[ds:rax+0x0], rcx w"},
    {64, "0f7908", "vmwrite rcx, 8[ds:rax+0x0] r"},
    {64, "0f01d4", "vmfunc"},
    {64, "660f388007", "invept rax, 16[ds:rdi+0x0] r"},
    {64, "660f388107", "invvpid rax, 16[ds:rdi+0x0] r"},
    {64, "9c", "pushf.8"},
    {64, "669c", "pushf.2"},
    {64, "9d", "popf.8"},
    {64, "0f01f8", "swapgs"},
    {64, "0faa", "rsm"},
    {64, "0f37", "getsec"},
    {64, "0f01fd", "rdpru"},
    {64, "ff18", "call_far.4 6[ds:rax+0x0] r"},
    {64, "ff28", "jmp_far.4 6[ds:rax+0x0] r"},
    {64, "cb", "ret_far.4"},
    {64, "48ca0800", "ret_far.8 +0x8"},
    {32, "8810", "mov 1[ds:eax+0x0], dl w"},
    {32, "8910", "mov 4[ds:eax+0x0], edx w"},
    {32, "668910", "mov 2[ds:eax+0x0], dx w"},
    {32, "8a3e", "mov bh, 1[ds:esi+0x0] r"},
    {32, "a12000e0fe", "mov eax, 4[ds:+0xfee00020] r"},
    {32, "a3b000e0fe", "mov 4[ds:+0xfee000b0], eax w"},
    {32, "a000800b00", "mov al, 1[ds:+0xb8000] r"},
    {32, "c705b000e0fe00000000", "mov 4[ds:-0x11fff50], +0x0 w"},
    {32, "8b4508", "mov eax, 4[ss:ebp+0x8] r"},
    {32, "8b0444", "mov eax, 4[ss:esp+eax*2+0x0] r"},
    {32, "3e8b444504", "mov eax, 4[ds:ebp+eax*2+0x4] r"},
    {32, "268b07", "mov eax, 4[es:edi+0x0] r"},
    {32, "67668900", "mov 2[ds:bx+si*1+0x0], ax w"},
    {32, "6766894604", "mov 2[ss:bp+0x4], ax w"},
    {32, "8b04bd00800b00", "mov eax, 4[ds:+edi*4+0xb8000] r"},
    {32, "6566c705100000002007", "mov 2[gs:+0x10], +0x720 w"},
    {32, "0fb701", "movzx eax, 2[ds:ecx+0x0] r"},
    {32, "f3a5", "f3 movs 4[es:edi], 4[ds:esi]"},
    {32, "6766f3a5", "f3 movs 2[es:di], 2[ds:si]"},
    {32, "64a4", "movs 1[es:edi], 1[fs:esi]"},
    {32, "f36f", "f3 outs dx, 4[ds:esi]"},
    {32, "2e6e", "outs dx, 1[cs:esi]"},
    {32, "ff30", "push.4 4[ds:eax+0x0] r"},
    {32, "66ff30", "push.2 2[ds:eax+0x0] r"},
    {32, "8f00", "pop.4 4[ds:eax+0x0] w"},
    {32, "0f20c0", "mov_control eax, cr0"},
    {32, "f00f22c0", "lock mov_control cr8, eax"},
    {32, "0f23f9", "mov_debug dr7, ecx"},
    {32, "0f0110", "lgdt 6[ds:eax+0x0] r"},
    {32, "0f0108", "sidt 6[ds:eax+0x0] w"},
    {32, "0f0138", "invlpg 0[ds:eax+0x0]"},
    {32, "ce", "into.4"},
    {32, "cf", "iret.4"},
    {32, "9a785634122000", "call_far.4 +0x12345678 selector 0x20"},
    {32, "ea000010000800", "jmp_far.4 +0x100000 selector 0x8"},
    {32, "ff18", "call_far.4 6[ds:eax+0x0] r"},
    {32, "9c", "pushf.4"},
    {32, "669d", "popf.2"},
    {32, "660f00c8", "str ax"},
    {32, "0f7808", "vmread 4[ds:eax+0x0], ecx w"},
    {32, "f00fc70e", "lock cmpxchg_pair 8[ds:esi+0x0] rw"},
    {32, "fe00", "inc 1[ds:eax+0x0] rw"},
    {32, "0fc308", "movnti 4[ds:eax+0x0], ecx w"},
    {16, "8800", "mov 1[ds:bx+si*1+0x0], al w"},
    {16, "8901", "mov 2[ds:bx+di*1+0x0], ax w"},
    {16, "8b02", "mov ax, 2[ss:bp+si*1+0x0] r"},
    {16, "8b03", "mov ax, 2[ss:bp+di*1+0x0] r"},
    {16, "8b04", "mov ax, 2[ds:si+0x0] r"},
    {16, "8b05", "mov ax, 2[ds:di+0x0] r"},
    {16, "8b4602", "mov ax, 2[ss:bp+0x2] r"},
    {16, "8b07", "mov ax, 2[ds:bx+0x0] r"},
    {16, "8b870080", "mov ax, 2[ds:bx-0x8000] r"},
    {16, "8b0e3412", "mov cx, 2[ds:+0x1234] r"},
    {16, "26c7052007", "mov 2[es:di+0x0], +0x720 w"},
    {16, "26c6450107", "mov 1[es:di+0x1], +0x7 w"},
    {16, "668b07", "mov eax, 4[ds:bx+0x0] r"},
    {16, "66c70778563412", "mov 4[ds:bx+0x0], +0x12345678 w"},
    {16, "67668b442404", "mov eax, 4[ss:esp+0x4] r"},
    {16, "67668b048500000000", "mov eax, 4[ds:+eax*4+0x0] r"},
    {16, "a06c04", "mov al, 1[ds:+0x46c] r"},
    {16, "26a3feff", "mov 2[es:+0xfffe], ax w"},
    {16, "8c5e00", "mov_segment 2[ss:bp+0x0], ds w"},
    {16, "8e07", "mov_segment es, 2[ds:bx+0x0] r"},
    {16, "f3a5", "f3 movs 2[es:di], 2[ds:si]"},
    {16, "66f3a5", "f3 movs 4[es:di], 4[ds:si]"},
    {16, "f3ab", "f3 stos 2[es:di], ax"},
    {16, "2ead", "lods ax, 2[cs:si]"},
    {16, "3667ac", "lods al, 1[ss:esi]"},
    {16, "f2ae", "f2 scas al, 1[es:di]"},
    {16, "f36c", "f3 ins 1[es:di], dx"},
    {16, "f36f", "f3 outs dx, 2[ds:si]"},
    {16, "8035ff", "xor 1[ds:di+0x0], -0x1 rw"},
    {16, "26812700ff", "and 2[es:bx+0x0], -0x100 rw"},
    {16, "8307ff", "add 2[ds:bx+0x0], -0x1 rw"},
    {16, "ff4604", "inc 2[ss:bp+0x4] rw"},
    {16, "ff37", "push.2 2[ds:bx+0x0] r"},
    {16, "8f061000", "pop.2 2[ds:+0x10] w"},
    {16, "0f20c0", "mov_control eax, cr0"},
    {16, "0f22c0", "mov_control cr0, eax"},
    {16, "0f01f0", "lmsw ax"},
    {16, "0f01e0", "smsw ax"},
    {16, "0f0117", "lgdt 6[ds:bx+0x0] r"},
    {16, "2e660f01161000", "lgdt 6[cs:+0x10] r"},
    {16, "0fa2", "cpuid"},
    {16, "f4", "hlt"},
    {16, "e492", "in al, +0x92"},
    {16, "ee", "out dx, al"},
    {16, "66ed", "in eax, dx"},
    {16, "cd10", "int.2 +0x10"},
    {16, "cc", "int3.2"},
    {16, "cf", "iret.2"},
    {16, "66cf", "iret.4"},
    {16, "eaf0ff00f0", "jmp_far.2 +0xfff0 selector 0xf000"},
    {16, "66ea000010000800", "jmp_far.4 +0x100000 selector 0x8"},
    {16, "9a20000010", "call_far.2 +0x20 selector 0x1000"},
    {16, "ff2f", "jmp_far.2 4[ds:bx+0x0] r"},
    {16, "ca0200", "ret_far.2 +0x2"},
    {16, "9c", "pushf.2"},
    {16, "669d", "popf.4"},
    {16, "0fc30f", "movnti 4[ds:bx+0x0], ecx w"},
    {64, "480fa2", "cpuid"},
    {64, "2e480fa2", "cpuid"},
    {64, "4889c8", "mov rax, rcx"},
    {64, "486689c8", "mov ax, cx"},
    {64, "64268b00", "mov eax, 4[fs:rax+0x0] r"},
    {64, "26648b00", "mov eax, 4[fs:rax+0x0] r"},
    {64, "268b00", "mov eax, 4[ds:rax+0x0] r"},
    {64, "668f00", "pop.2 2[ds:rax+0x0] w"},
    {64, "f048830001", "lock add 8[ds:rax+0x0], +0x1 rw"},
    {64, "f6082a", "test 1[ds:rax+0x0], +0x2a r"},
    {64, "c03001", "shl 1[ds:rax+0x0], +0x1 rw"},
    {64, "0f2200", "mov_control cr0, rax"},
    {64, "0f2384", "mov_debug dr0, rsp"},
    {64, "f00f20c0", "lock mov_control rax, cr8"},
    {64, "f30f01d9", "f3 vmmcall"},
    {64, "8b0425000000fe", "mov eax, 4[ds:-0x2000000] r"},
    {64, "8b0465000000ff", "mov eax, 4[ds:-0x1000000] r"},
    {64, "428b0420", "mov eax, 4[ds:rax+r12*1+0x0] r"},
    {64, "8b05ffffffff", "mov eax, 4[ds:rip-0x1] r"},
    {32, "8b05000000fe", "mov eax, 4[ds:-0x2000000] r"},
    {32, "820001", "add 1[ds:eax+0x0], +0x1 rw"},
    {32, "678b0600b8", "mov eax, 4[ds:-0x4800] r"},
    {16, "678b0500800b00", "mov ax, 2[ds:+0xb8000] r"},
    {64, "f2a4", "f2 movs 1[es:rdi], 1[ds:rsi]"},
    {64, "f3f2a4", "f2 movs 1[es:rdi], 1[ds:rsi]"},
    {64, "488f00", "pop.8 8[ds:rax+0x0] w"},
    {64, "66489c", "pushf.8"},
    {64, "48ff18", "call_far.8 10[ds:rax+0x0] r"},
    {64, "66ef", "out dx, ax"},
    {64, "48ef", "out dx, eax"},
    {64, "486d", "ins 4[es:rdi], dx"},
    {64, "0fc308", "movnti 4[ds:rax+0x0], ecx w"},
    {64, "4c8c18", "mov_segment 2[ds:rax+0x0], ds w"},
    {64, "488cd8", "mov_segment rax, ds"},
    {64, "668cd8", "mov_segment ax, ds"},
};

static void put(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(char *text, const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text + used, 200 - used, format, arguments);
    va_end(arguments);
}

static void put_register(char *text, unsigned number, unsigned size, bool high)
{
    if (high)
        put(text, "%s", registers_high[number & 7]);
    else if (size == 8)
        put(text, "%s", registers_64[number]);
    else if (number >= 8)
        put(text, "r%u%c", number, size == 4 ? 'd' : size == 2 ? 'w' : 'b');
    else
        put(text, "%s", (size == 4 ? registers_32 : size == 2 ? registers_16 : registers_8)[number]);
}

static void put_signed(char *text, int64_t value)
{
    if (value < 0)
        put(text, "-0x%llx", (unsigned long long)-(uint64_t)value);
    else
        put(text, "+0x%llx", (unsigned long long)value);
}

static void put_memory(char *text, const struct instruction *i, unsigned size)
{
    const struct memory_operand *memory = &i->memory;

    put(text, "%u[%s:", size, segments[memory->segment & 7]);
    if (memory->base != REGISTER_NONE)
        put_register(text, memory->base, i->address_size, false);
    if (memory->rip_relative)
        put(text, i->address_size == 8 ? "rip" : "eip");
    if (memory->index != REGISTER_NONE) {
        put(text, "+");
        put_register(text, memory->index, i->address_size, false);
        put(text, "*%u", memory->scale);
    }
    put_signed(text, memory->displacement);
    put(text, "]");
}

static void put_operand(char *text, const struct instruction *i, const struct operand *operand)
{
    bool source_string = operand->number == GPR_RSI;

    switch (operand->kind) {
    case OPERAND_REGISTER: put_register(text, operand->number, operand->size, operand->high); break;
    case OPERAND_MEMORY: put_memory(text, i, operand->size); break;
    case OPERAND_IMMEDIATE: put_signed(text, i->immediate); break;
    case OPERAND_STRING:
        put(text, "%u[%s:", operand->size, source_string ? segments[i->memory.segment] : "es");
        put_register(text, operand->number, i->address_size, false);
        put(text, "]");
        break;
    case OPERAND_SEGMENT: put(text, "%s", segments[operand->number & 7]); break;
    case OPERAND_CONTROL: put(text, "cr%u", operand->number); break;
    case OPERAND_DEBUG: put(text, "dr%u", operand->number); break;
    case OPERAND_PORT: put(text, "dx"); break;
    default: put(text, "?"); break;
    }
}

/* The whole instruction; operations without operands show the operand size where it matters to them. */
static void render(const struct instruction *i, char text[200])
{
    text[0] = 0;
    put(text, "%s%s%s", i->lock ? "lock " : "",
        i->repeat == REPEAT_EQUAL       ? "f3 "
        : i->repeat == REPEAT_NOT_EQUAL ? "f2 "
                                        : "",
        operation_names[i->operation]);
    if (i->operation == OPERATION_CMOV || i->operation == OPERATION_SET)
        put(text, ".%u", i->condition);
    if (i->family == FAMILY_STACK || i->family == FAMILY_BRANCH)
        put(text, ".%u", i->operand_size);
    if (i->destination.kind != OPERAND_NONE) {
        put(text, " ");
        put_operand(text, i, &i->destination);
    }
    if (i->source.kind != OPERAND_NONE) {
        put(text, i->destination.kind != OPERAND_NONE ? ", " : " ");
        put_operand(text, i, &i->source);
    }
    if (i->selector != 0)
        put(text, " selector 0x%x", i->selector);
    if (i->access != 0)
        put(text, " %s%s", (i->access & MEMORY_READ) != 0 ? "r" : "", (i->access & MEMORY_WRITE) != 0 ? "w" : "");
}

static unsigned parse_bytes(const char *text, uint8_t bytes[32])
{
    unsigned count = 0;

    for (; text[0] != 0 && text[1] != 0 && count < 32; text += 2) {
        char digits[3] = {text[0], text[1], 0};

        bytes[count++] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return count;
}

static enum decode_mode mode_of(unsigned bits)
{
    return bits == 16 ? DECODE_16 : bits == 32 ? DECODE_32 : DECODE_64;
}

/* Decode out of a heap block of exactly this size, so that the sanitizer sees any read beyond it. */
static int decode_exact(const uint8_t *bytes, unsigned count, enum decode_mode mode, struct instruction *out)
{
    uint8_t *copy = malloc(count == 0 ? 1 : count);
    int error;

    assert_non_null(copy);
    memcpy(copy, bytes, count);
    error = decode(copy + (count == 0 ? 1 : 0), count, mode, out);
    free(copy);
    return error;
}

static int decode_text(unsigned mode, const char *text, struct instruction *out)
{
    uint8_t bytes[32];
    unsigned count = parse_bytes(text, bytes);

    return decode_exact(bytes, count, mode_of(mode), out);
}

static void samples_decode(void **state)
{
    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(samples); n++) {
        const struct sample *sample = &samples[n];
        struct instruction i;
        uint8_t bytes[32];
        unsigned count = parse_bytes(sample->bytes, bytes);
        int error = decode_exact(bytes, count, mode_of(sample->mode), &i);
        char text[200];

        if (error != 0)
            fail_msg("%u %s: error %d, expected %s", sample->mode, sample->bytes, error, sample->text);
        render(&i, text);
        if (strcmp(text, sample->text) != 0)
            fail_msg("%u %s: got %s, expected %s", sample->mode, sample->bytes, text, sample->text);
        assert_int_equal(i.length, count);
    }
}

/* Bytes behind the instruction change nothing; any byte less asks for more. */
static void samples_end_anywhere(void **state)
{
    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(samples); n++) {
        enum decode_mode mode = mode_of(samples[n].mode);
        struct instruction i;
        uint8_t bytes[32];
        unsigned count = parse_bytes(samples[n].bytes, bytes);

        memset(bytes + count, 0xff, sizeof(bytes) - count);
        assert_int_equal(decode(bytes, sizeof(bytes), mode, &i), 0);
        assert_int_equal(i.length, count);
        for (unsigned shorter = 0; shorter < count; shorter++)
            assert_int_equal(decode_exact(bytes, shorter, mode, &i), E_RANGE);
    }
}

static void samples_have_a_known_length(void **state)
{
    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(samples); n++) {
        enum decode_mode mode = mode_of(samples[n].mode);
        struct instruction i;
        uint8_t bytes[32];
        unsigned count = parse_bytes(samples[n].bytes, bytes);

        assert_int_equal(decode(bytes, count, mode, &i), 0);
        assert_int_equal(decode_length_known(i.operation, bytes, count, mode), count);
        assert_int_equal(decode_length_known(i.operation, bytes, count - 1, mode), 0);
        for (unsigned other = 1; other < OPERATION_COUNT; other++) {
            if (other != i.operation)
                assert_int_equal(decode_length_known(other, bytes, count, mode), 0);
        }
    }
}

static void check_fault(unsigned mode, const char *bytes, enum vector fault)
{
    struct instruction i;
    int error = decode_text(mode, bytes, &i);

    if (error != E_INVAL || i.fault != fault)
        fail_msg("%u %s: error %d, fault %u", mode, bytes, error, i.fault);
}

static void invalid_encodings_fault(void **state)
{
    static const struct {
        unsigned mode;
        const char *bytes;
    } undefined[] = {
        {64, "f08908"},     /* LOCK MOV */
        {64, "f03908"},     /* LOCK CMP [rax], ecx */
        {64, "f0833801"},   /* LOCK CMP [rax], 1 */
        {64, "f001c8"},     /* LOCK ADD eax, ecx: no memory */
        {64, "f00308"},     /* LOCK ADD ecx, [rax]: memory is the source */
        {64, "f08508"},     /* LOCK TEST */
        {64, "f00fba2001"}, /* LOCK BT */
        {64, "f00fa2"},     /* LOCK CPUID */
        {64, "f0f4"},       /* LOCK HLT */
        {64, "f0a4"},       /* LOCK MOVSB */
        {32, "8ec8"},       /* MOV CS, eax */
        {64, "8e08"},       /* MOV CS, [rax] */
        {64, "8ef0"},       /* no segment register 6 */
        {64, "8c38"},       /* no segment register 7 */
        {64, "0f20c8"},     /* CR1 */
        {64, "0f20e8"},     /* CR5 */
        {64, "440f20c8"},   /* CR9 */
        {32, "f00f22d0"},   /* LOCK CR2 */
        {64, "440f21c0"},   /* DR8 */
        {64, "c60801"},     /* C6 /1 */
        {64, "fed0"},       /* FE /2 */
        {64, "ff38"},       /* FF /7 */
        {64, "ffd8"},       /* far CALL of a register */
        {64, "0fbac001"},   /* BA /0 */
        {64, "0fc3c0"},     /* MOVNTI to a register */
        {64, "660fc300"},   /* MOVNTI with 66 */
        {64, "0f38f0c0"},   /* MOVBE between registers */
        {64, "0fc7c8"},     /* CMPXCHG8B of a register */
        {64, "820001"},     /* the alias of 80 */
        {64, "ce"},         /* INTO */
        {64, "9a000000000000"},
        {64, "ea000000000000"},
        {64, "0f0b"},
        {32, "0fb9c0"},
        {16, "0fff00"},
    };

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(undefined); n++)
        check_fault(undefined[n].mode, undefined[n].bytes, VECTOR_UD);
}

static void more_than_15_bytes_fault(void **state)
{
    uint8_t bytes[32];
    struct instruction i;

    (void)state;
    memset(bytes, 0x66, sizeof(bytes));
    assert_int_equal(decode(bytes, sizeof(bytes), DECODE_64, &i), E_INVAL);
    assert_int_equal(i.fault, VECTOR_GP);
    assert_int_equal(decode(bytes, 15, DECODE_16, &i), E_INVAL);
    assert_int_equal(i.fault, VECTOR_GP);
    assert_int_equal(decode(bytes, 14, DECODE_32, &i), E_RANGE);
    bytes[14] = 0xf4;
    assert_int_equal(decode(bytes, sizeof(bytes), DECODE_32, &i), 0);
    assert_int_equal(i.length, 15);
    assert_int_equal(decode_length_known(OPERATION_HLT, bytes, 15, DECODE_32), 15);
    bytes[14] = 0xa3; /* needs four more */
    assert_int_equal(decode(bytes, sizeof(bytes), DECODE_32, &i), E_INVAL);
    assert_int_equal(i.fault, VECTOR_GP);
    check_fault(64, "6666666666666681840011223344556677", VECTOR_GP);
}

/* Real instructions that are none of ours: the caller reports their bytes. */
static void other_instructions_are_not_known(void **state)
{
    static const char *const unknown[] = {
        "0f1000",       /* MOVUPS */
        "0f2900",       /* MOVAPS */
        "f30f6f00",     /* MOVDQU */
        "660fe700",     /* MOVNTDQ */
        "0f6f00",       /* MOVQ */
        "c5fe6f00",     /* VEX */
        "62f17e486f00", /* EVEX */
        "8fe878c00001", /* XOP */
        "d900",         /* FLD */
        "f720",         /* MUL */
        "f638",         /* IDIV */
        "0faf00",       /* IMUL */
        "0fa40001",     /* SHLD */
        "f20f38f100",   /* CRC32 */
        "ff10",         /* near CALL through memory */
        "ff20",         /* near JMP through memory */
        "0fc7f0",       /* RDRAND */
        "0fae00",       /* FXSAVE */
        "0faef8",       /* SFENCE */
        "f2f30fc7f8",   /* RDPID */
        "0f18",         /* prefetch: known by its opcode alone */
        "e800000000",   "c3", "50", "d7", "4990", "0f3a00", "0f05",
    };
    struct instruction i;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(unknown); n++) {
        int error = decode_text(64, unknown[n], &i);

        if (error != E_NOTYET)
            fail_msg("%s: error %d", unknown[n], error);
    }
    assert_int_equal(decode_text(32, "6300", &i), E_NOTYET);   /* ARPL */
    assert_int_equal(decode_text(32, "40", &i), E_NOTYET);     /* INC eax, not a REX prefix */
    assert_int_equal(decode_text(16, "0f01f8", &i), E_NOTYET); /* SWAPGS */
}

static void changed_bytes_have_no_known_length(void **state)
{
    static const uint8_t cpuid[] = {0x0f, 0xa2, 0x90};
    static const uint8_t prefixed[] = {0x2e, 0x48, 0x0f, 0xa2};
    static const uint8_t pause[] = {0xf3, 0x66, 0x90};

    (void)state;
    assert_int_equal(decode_length_known(OPERATION_CPUID, cpuid, 3, DECODE_64), 2);
    assert_int_equal(decode_length_known(OPERATION_CPUID, cpuid, 2, DECODE_16), 2);
    assert_int_equal(decode_length_known(OPERATION_CPUID, cpuid, 1, DECODE_64), 0);
    assert_int_equal(decode_length_known(OPERATION_CPUID, cpuid, 0, DECODE_64), 0);
    assert_int_equal(decode_length_known(OPERATION_HLT, cpuid, 3, DECODE_64), 0);
    assert_int_equal(decode_length_known(OPERATION_RDMSR, cpuid, 3, DECODE_64), 0);
    assert_int_equal(decode_length_known(OPERATION_CPUID, prefixed, 4, DECODE_64), 4);
    assert_int_equal(decode_length_known(OPERATION_CPUID, prefixed, 4, DECODE_32), 0); /* 48 is DEC there */
    assert_int_equal(decode_length_known(OPERATION_PAUSE, pause, 3, DECODE_32), 3);
    assert_int_equal(decode_length_known(OPERATION_UNKNOWN, cpuid + 2, 1, DECODE_32), 0);
}

static uint64_t offset_of(unsigned mode, const char *bytes, uint64_t base, uint64_t index, uint64_t next_rip)
{
    struct instruction i;

    assert_int_equal(decode_text(mode, bytes, &i), 0);
    return instruction_offset(&i, base, index, next_rip);
}

static void offsets_wrap_at_the_address_size(void **state)
{
    (void)state;
    assert_int_equal(offset_of(64, "8b4488f0", 0x1000, 0x10, 0), 0x1030);
    assert_int_equal(offset_of(64, "8b05f0ffffff", 7, 7, 0x2000), 0x1ff0);
    assert_int_equal(offset_of(64, "678b4488f0", UINT64_C(0x7fffffff8), 4, 0), 0xfffffff8);
    assert_int_equal(offset_of(32, "8b4020", UINT64_C(0xfffffff0), 0, 0), 0x10);
    assert_int_equal(offset_of(16, "8b00", 0xfff0, 0x20, 0), 0x10);
    assert_int_equal(offset_of(16, "a13412", 9, 9, 9), 0x1234);
    assert_int_equal(offset_of(64, "48a1efcdab8967452301", 0, 0, 0), UINT64_C(0x0123456789abcdef));
}

static int64_t bit_displacement(unsigned mode, const char *bytes, uint64_t bit_offset)
{
    struct instruction i;

    assert_int_equal(decode_text(mode, bytes, &i), 0);
    return instruction_bit_displacement(&i, bit_offset);
}

static void bit_offsets_reach_beyond_the_operand(void **state)
{
    (void)state;
    assert_int_equal(bit_displacement(64, "0fa308", 31), 0);
    assert_int_equal(bit_displacement(64, "0fa308", 32), 4);
    assert_int_equal(bit_displacement(64, "0fa308", UINT64_C(0xffffffff)), -4);
    assert_int_equal(bit_displacement(64, "0fa308", UINT64_C(0xffffffffffffffdf)), -8);
    assert_int_equal(bit_displacement(64, "480fab08", UINT64_C(0xffffffff)), 0x1ffffff8);
    assert_int_equal(bit_displacement(64, "480fab08", UINT64_MAX), -8);
    assert_int_equal(bit_displacement(64, "480fab08", UINT64_C(1) << 63), INT64_MIN / 8);
    assert_int_equal(bit_displacement(16, "0fb307", 0x8000), -0x1000);
    assert_int_equal(bit_displacement(16, "0fb307", 17), 2);
    assert_int_equal(bit_displacement(64, "0fba2025", 100), 0); /* an immediate stays inside */
    assert_int_equal(bit_displacement(64, "0108", 100), 0);
    assert_int_equal(bit_displacement(64, "cc", 100), 0);
}

static void operands_are_found_by_kind(void **state)
{
    struct instruction i;

    (void)state;
    assert_int_equal(decode_text(64, "8908", &i), 0);
    assert_ptr_equal(instruction_memory_operand(&i), &i.destination);
    assert_ptr_equal(instruction_register_operand(&i), &i.source);
    assert_int_equal(decode_text(64, "8b08", &i), 0);
    assert_ptr_equal(instruction_memory_operand(&i), &i.source);
    assert_ptr_equal(instruction_register_operand(&i), &i.destination);
    assert_int_equal(decode_text(64, "f4", &i), 0);
    assert_null(instruction_memory_operand(&i));
    assert_null(instruction_register_operand(&i));
}

/* Every first and second byte in every mode, all lengths, with a fixed tail: nothing is read beyond the end, and
 * lengths agree. */
static void every_opcode_is_handled(void **state)
{
    static const uint8_t tails[] = {0x00, 0x05, 0x44, 0x84, 0xc0, 0xff};

    (void)state;
    for (unsigned n = 0; n < 3 * 65536 * ARRAY_SIZE(tails); n++) {
        enum decode_mode mode = n % 3;
        unsigned opcode = n / 3 % 65536;
        uint8_t bytes[15];
        struct instruction i, again;

        memset(bytes, tails[n / 3 / 65536], sizeof(bytes));
        bytes[0] = (uint8_t)(opcode >> 8);
        bytes[1] = (uint8_t)opcode;
        if (decode(bytes, sizeof(bytes), mode, &i) != 0)
            continue;
        assert_in_range(i.length, 1, 15);
        assert_true(i.operation != OPERATION_UNKNOWN && i.operation < OPERATION_COUNT && i.family != FAMILY_NONE);
        assert_int_equal(decode_exact(bytes, i.length, mode, &again), 0);
        assert_int_equal(decode_exact(bytes, i.length - 1u, mode, &again), E_RANGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_decode),
        cmocka_unit_test(samples_end_anywhere),
        cmocka_unit_test(samples_have_a_known_length),
        cmocka_unit_test(invalid_encodings_fault),
        cmocka_unit_test(more_than_15_bytes_fault),
        cmocka_unit_test(other_instructions_are_not_known),
        cmocka_unit_test(changed_bytes_have_no_known_length),
        cmocka_unit_test(offsets_wrap_at_the_address_size),
        cmocka_unit_test(bit_offsets_reach_beyond_the_operand),
        cmocka_unit_test(operands_are_found_by_kind),
        cmocka_unit_test(every_opcode_is_handled),
    };

    return cmocka_run_group_tests_name("decode", tests, NULL, NULL);
}
