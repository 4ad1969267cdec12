// Answers of a SQL type: the type as a JSON schema, which binds the model, and the
// JSON that comes back as values of the type.
#pragma once
#include "batch.hpp"
#include "duckdb/common/enum_util.hpp"
#include "duckdb/common/vector_operations/vector_operations.hpp"
#include "duckdb/function/cast/default_casts.hpp"
#include "duckdb/function/cast/cast_function_set.hpp"
#include "duckdb/parser/parser.hpp"

namespace hyprstream {

//! What is nested deeper is no type for an answer.
static constexpr idx_t DEEPEST_TYPE = 64;

static string JsonText(const string &s) {
	string out = "\"";
	for (unsigned char c : s) {
		if (c == '"' || c == '\\') {
			out += '\\';
			out += (char)c;
		} else if (c < 0x20) {
			out += StringUtil::Format("\\u%04x", (int)c);
		} else {
			out += (char)c;
		}
	}
	return out + "\"";
}

//! Schemas of SQL types. What JSON's numbers do not bound is a text with a pattern, which casts to the type.
struct TypeSchema {
	bool nulls; //! fields of a STRUCT may be null

	static string Integer(const string &least, const string &most) {
		return "{\"type\":\"integer\",\"minimum\":" + least + ",\"maximum\":" + most + "}";
	}
	static string Number(const string &most) {
		return "{\"type\":\"number\",\"minimum\":-" + most + ",\"maximum\":" + most + "}";
	}
	static string Pattern(const string &regex, const string &format = "") {
		return "{\"type\":\"string\",\"pattern\":" + JsonText("^" + regex + "$") +
		       (format.empty() ? "" : ",\"format\":" + JsonText(format)) + "}";
	}
	static string Decimal(const LogicalType &t) {
		auto width = DecimalType::GetWidth(t), scale = DecimalType::GetScale(t);
		string whole = width == scale ? "0" : "(0|[1-9][0-9]{0," + to_string(width - scale - 1) + "})";
		return Pattern("-?" + whole + (scale == 0 ? "" : "(\\.[0-9]{1," + to_string(scale) + "})?"));
	}
	string Struct(const LogicalType &t, idx_t depth) {
		string fields, names;
		for (auto &c : StructType::GetChildTypes(t)) {
			auto type = Of(c.second, depth + 1);
			fields += (fields.empty() ? "" : ",") + JsonText(c.first) + ":" +
			          (nulls ? "{\"anyOf\":[" + type + ",{\"type\":\"null\"}]}" : type);
			names += (names.empty() ? "" : ",") + JsonText(c.first);
		}
		return "{\"type\":\"object\",\"properties\":{" + fields + "},\"required\":[" + names + "],\"additionalProperties\":false}";
	}
	string Of(const LogicalType &t, idx_t depth = 0) {
		static const string day = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])";
		static const string hour = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]";
		if (depth > DEEPEST_TYPE) {
			throw InvalidInputException("it is nested deeper than %d", DEEPEST_TYPE);
		}
		if (t.IsJSONType()) {
			return "{}";
		}
		switch (t.id()) {
		case LogicalTypeId::BOOLEAN:
			return "{\"type\":\"boolean\"}";
		case LogicalTypeId::TINYINT:
			return Integer("-128", "127");
		case LogicalTypeId::UTINYINT:
			return Integer("0", "255");
		case LogicalTypeId::SMALLINT:
			return Integer("-32768", "32767");
		case LogicalTypeId::USMALLINT:
			return Integer("0", "65535");
		case LogicalTypeId::INTEGER:
			return Integer("-2147483648", "2147483647");
		case LogicalTypeId::UINTEGER:
			return Integer("0", "4294967295");
		case LogicalTypeId::BIGINT:
			return "{\"type\":\"integer\"}"; // at most 16 digits
		case LogicalTypeId::UBIGINT:
			return Pattern("(0|[1-9][0-9]{0,18})");
		case LogicalTypeId::HUGEINT:
			return Pattern("-?(0|[1-9][0-9]{0,37})");
		case LogicalTypeId::UHUGEINT:
			return Pattern("(0|[1-9][0-9]{0,37})");
		case LogicalTypeId::FLOAT:
			return Number("3.4e38");
		case LogicalTypeId::DOUBLE:
			return Number("1.7e308");
		case LogicalTypeId::DECIMAL:
			return Decimal(t);
		case LogicalTypeId::VARCHAR:
			return "{\"type\":\"string\"}";
		case LogicalTypeId::UUID:
			return "{\"type\":\"string\",\"format\":\"uuid\"}";
		case LogicalTypeId::DATE:
			return Pattern(day, "date");
		case LogicalTypeId::TIME:
			return Pattern(hour);
		case LogicalTypeId::TIMESTAMP:
			return Pattern(day + " " + hour, "sql-timestamp");
		case LogicalTypeId::TIMESTAMP_TZ:
			return Pattern(day + " " + hour + "Z", "sql-timestamptz");
		case LogicalTypeId::ENUM: {
			string values;
			auto &all = EnumType::GetValuesInsertOrder(t);
			auto names = FlatVector::GetData<string_t>(all);
			for (idx_t i = 0; i < EnumType::GetSize(t); i++) {
				values += (i == 0 ? "" : ",") + JsonText(names[i].GetString());
			}
			return "{\"enum\":[" + values + "]}";
		}
		case LogicalTypeId::STRUCT:
			return Struct(t, depth);
		case LogicalTypeId::LIST:
			return "{\"type\":\"array\",\"items\":" + Of(ListType::GetChildType(t), depth + 1) + "}";
		case LogicalTypeId::ARRAY: {
			auto n = to_string(ArrayType::GetSize(t));
			return "{\"type\":\"array\",\"items\":" + Of(ArrayType::GetChildType(t), depth + 1) + ",\"minItems\":" + n +
			       ",\"maxItems\":" + n + "}";
		}
		case LogicalTypeId::MAP:
			if (MapType::KeyType(t).id() == LogicalTypeId::VARCHAR) {
				return "{\"type\":\"object\",\"additionalProperties\":" + Of(MapType::ValueType(t), depth + 1) + "}";
			}
			break;
		default:
			break;
		}
		throw InvalidInputException("a model cannot be asked for %s", t.ToString());
	}
};

//! The type that text names, and its schema. Throws for the function called name.
static LogicalType AnswerType(ClientContext &context, const string &name, const string &text, bool nulls, string &schema) {
	try {
		if (Parser::ParseColumnList("answer " + text).LogicalColumnCount() != 1) {
			throw InvalidInputException("it is more than a type");
		}
		auto type = TransformStringToLogicalType(text, context);
		schema = TypeSchema {nulls}.Of(type);
		return type;
	} catch (std::exception &e) {
		auto why = ErrorData(e).RawMessage();
		throw BinderException("[INVALID_ARGUMENT] %s: returns := '%s' cannot be an answer's type: %s. Give one such as 'INTEGER', 'DATE', "
		                      "'ENUM(''a'', ''b'')' or 'STRUCT(name VARCHAR, ages INTEGER[])'", name, text.substr(0, 200),
		                      why.substr(0, why.find('\n')));
	}
}

//! Fills v with answers that are JSON of its type.
template <class F>
static void PutJson(ClientContext &context, Vector &v, idx_t n, F row) {
	// In an object of one field, so that a text alone is read as one too.
	Vector text(LogicalType::JSON(), n);
	auto d = FlatVector::GetData<string_t>(text);
	for (idx_t i = 0; i < n; i++) {
		const Row &r = row(i);
		if (r.status == HS_OK) {
			d[i] = StringVector::AddString(text, "{\"v\":" + r.text + "}");
		} else {
			FlatVector::SetNull(text, i, true);
		}
	}
	Vector out(LogicalType::STRUCT({{"v", v.GetType()}}), n);
	GetCastFunctionInput input(context);
	auto cast = CastFunctionSet::Get(context).GetCastFunction(text.GetType(), out.GetType(), input);
	unique_ptr<FunctionLocalState> local;
	if (cast.init_local_state) {
		CastLocalStateParameters parameters(context, cast.cast_data);
		local = cast.init_local_state(parameters);
	}
	string wrong;
	CastParameters parameters(cast.cast_data.get(), true, &wrong, local.get());
	if (!cast.function(text, out, n, parameters)) {
		Throw("[OUTPUT_INVALID] an answer does not cast to " + v.GetType().ToString() + ": " + wrong);
	}
	out.Flatten(n);
	auto &values = *StructVector::GetEntries(out)[0];
	values.Flatten(n);
	for (idx_t i = 0; i < n; i++) {
		if (row(i).status != HS_OK) {
			FlatVector::SetNull(values, i, true);
		}
	}
	VectorOperations::Copy(values, v, n, 0, 0); // its texts lie in the cast's own memory
}
} // namespace hyprstream
