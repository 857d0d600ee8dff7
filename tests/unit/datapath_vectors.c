// SPDX-License-Identifier: MIT
/*
 * The oracle's vectors (tests/vectors), every row of every file. Their first
 * line says what the columns are.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath.h"
#include "unit/run_suite.h"

#define COLUMNS 10
#define MANY 26		/* more than kernels for few rows take */

static const char *const names[] = { "fp4", "p4", "p8", "p16" };

/* Rows that the files are known to have: a truncated one must not pass. */
static const unsigned int encode_rows[] = { 6428, 6425, 7864, 212211 };
static const unsigned int dot_rows = 2000;

struct table {
	FILE *pipe;
	char *line;
	size_t size;
	char *column[COLUMNS];
	unsigned int rows;
};

static void open_table(struct table *table, const char *prefix, const char *name, const char *suffix)
{
	char command[200];

	memset(table, 0, sizeof(*table));
	snprintf(command, sizeof(command), "xz -dc tests/vectors/%s%s%s.tsv.xz", prefix, name, suffix);
	table->pipe = popen(command, "r");
	ck_assert_ptr_nonnull(table->pipe);
}

static bool next_row(struct table *table)
{
	do {
		if (getline(&table->line, &table->size, table->pipe) < 0) {
			ck_assert_int_eq(pclose(table->pipe), 0);
			free(table->line);
			return false;
		}
	} while (table->line[0] == '#');
	table->line[strcspn(table->line, "\n")] = '\0';
	table->rows++;
	for (int i = 0; i < COLUMNS; i++)
		table->column[i] = i ? strtok(NULL, "\t") : strtok(table->line, "\t");
	return true;
}

static uint32_t hex(const char *text)
{
	char *end;
	unsigned long value;

	ck_assert_ptr_nonnull(text);
	value = strtoul(text, &end, 16);
	ck_assert_msg(end != text && !*end, "%s is no code", text);
	return (uint32_t)value;
}

START_TEST(decode)
{
	enum xrnpe_format format = (enum xrnpe_format)_i;
	struct table table;

	open_table(&table, "", names[_i], "_decode");
	while (next_row(&table)) {
		uint32_t code = hex(table.column[0]);
		/* The 4- and 8-bit files have a column of decimals first. */
		const char *value = table.column[_i == XRNPE_FORMAT_P16 ? 1 : 2];

		ck_assert_ptr_nonnull(value);
		if (!strcmp(value, "NaR")) {
			ck_assert(xrnpe_is_nar(format, code));
		} else {
			double expected = strtod(value, NULL), decoded = xrnpe_decode(format, code);

			ck_assert_msg(!memcmp(&decoded, &expected, sizeof(expected)), "%s %x: %a not %a",
				      names[_i], code, decoded, expected);
		}
	}
	ck_assert_uint_eq(table.rows, 1u << xrnpe_format_bits(format));
}
END_TEST

START_TEST(encode)
{
	enum xrnpe_format format = (enum xrnpe_format)_i;
	struct table table;

	open_table(&table, "", names[_i], "_encode");
	while (next_row(&table)) {
		uint32_t bits = hex(table.column[0]), expected = hex(table.column[1]), code, status = 0;

		code = xrnpe_encode(format, xrnpe_decode(XRNPE_FORMAT_F32, bits), &status);
		ck_assert_msg(code == expected, "%s %08x: %x not %x", names[_i], bits, code, expected);
		ck_assert_uint_eq(status, format == XRNPE_FORMAT_FP4 &&
				  !strcmp(table.column[2], "nan") ? XRNPE_STATUS_INVALID : 0);
	}
	ck_assert_uint_eq(table.rows, encode_rows[_i]);
}
END_TEST

/* Hex digits to a packed row. */
static void parse_codes(enum xrnpe_format format, const char *text, size_t count, uint8_t *row)
{
	size_t digits = xrnpe_format_bits(format) / 4;

	ck_assert_uint_eq(strlen(text), count * digits);
	for (size_t i = 0; i < count; i++) {
		char code[8] = { 0 };

		memcpy(code, text + i * digits, digits);
		xrnpe_store(format, row, i, hex(code));
	}
}

/* Through xrnpe_dot() and through MATMULs, of one row and of the same many times. */
static void check_dot(struct xrnpe_datapath *const *contexts, enum xrnpe_format format,
		      enum xrnpe_format out, uint8_t *a, uint8_t *b, size_t count, uint32_t expected,
		      const char *id)
{
	struct xrnpe_cmd cmd = { .opcode = XRNPE_OP_MATMUL,
				 .matmul = { 1, 1, (uint32_t)count, 1, { 0 } } };
	uint8_t scale[8] = { 0 }, result[4 * MANY];
	void *memory[XRNPE_OPERANDS] = {
		[XRNPE_OPERAND_IFM] = a, [XRNPE_OPERAND_WEIGHT] = b,
		[XRNPE_OPERAND_SCALE] = scale, [XRNPE_OPERAND_OFM] = result,
	};
	struct xrnpe_fault fault;
	uint32_t status = 0, code;

	code = xrnpe_dot(format, a, format, b, count, out, &status);
	ck_assert_msg(code == expected, "%s row %s to %s: %x not %x", xrnpe_format_name(format), id,
		      xrnpe_format_name(out), code, expected);
	xrnpe_store(XRNPE_FORMAT_F32, scale, 0, 0x3f800000);
	cmd.operand[XRNPE_OPERAND_IFM].format = cmd.operand[XRNPE_OPERAND_WEIGHT].format = format;
	cmd.operand[XRNPE_OPERAND_SCALE].format = XRNPE_FORMAT_F32;
	cmd.operand[XRNPE_OPERAND_SCALE].row_stride = sizeof(struct xrnpe_scale);
	cmd.operand[XRNPE_OPERAND_OFM].format = out;
	cmd.operand[XRNPE_OPERAND_OFM].row_stride = 4;
	for (; *contexts; contexts++) {
		for (cmd.matmul.m = 1; cmd.matmul.m <= MANY; cmd.matmul.m += MANY - 1) {
			ck_assert_int_eq(xrnpe_datapath_run(*contexts, &cmd, 0, memory, NULL, &status,
							    &fault), 0);
			code = xrnpe_load(out, result + 4 * (cmd.matmul.m - 1), 0);
			ck_assert_msg(code == expected, "%s row %s to %s, kernel %s: %x not %x",
				      xrnpe_format_name(format), id, xrnpe_format_name(out),
				      xrnpe_datapath_kernel(*contexts), code, expected);
		}
	}
}

START_TEST(dot)
{
	enum xrnpe_format format = (enum xrnpe_format)_i;
	struct xrnpe_datapath *contexts[16] = { NULL };
	const char *const *kernels = xrnpe_datapath_kernels();
	static uint8_t a[XRNPE_MAX_K * 2], b[XRNPE_MAX_K * 2];
	struct table table;

	for (int i = 0; kernels[i]; i++)
		contexts[i] = xrnpe_datapath_new(1, kernels[i]);
	open_table(&table, "dot_", names[_i], "");
	while (next_row(&table)) {
		size_t count = strtoul(table.column[2], NULL, 10);
		const char *id = table.column[0];

		ck_assert_uint_ge(count, 1);
		ck_assert_uint_le(count, XRNPE_MAX_K);
		parse_codes(format, table.column[3], count, a);
		parse_codes(format, table.column[4], count, b);
		check_dot(contexts, format, format, a, b, count, hex(table.column[6]), id);
		check_dot(contexts, format, XRNPE_FORMAT_P16, a, b, count, hex(table.column[7]), id);
		check_dot(contexts, format, XRNPE_FORMAT_F32, a, b, count, hex(table.column[8]), id);
	}
	ck_assert_uint_eq(table.rows, dot_rows);
	for (int i = 0; kernels[i]; i++)
		xrnpe_datapath_free(contexts[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("oracle");
	TCase *tests = tcase_create("vectors");

	tcase_set_timeout(tests, 300);
	tcase_add_loop_test(tests, decode, 0, 4);
	tcase_add_loop_test(tests, encode, 0, 4);
	tcase_add_loop_test(tests, dot, 0, 4);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
