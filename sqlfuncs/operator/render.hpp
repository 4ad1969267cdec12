// render(prompt, fields): the text of a CREATE PROMPT with a struct's values in it.
// Go finds the template, once for each name and thread of a statement; rows stay here.
#pragma once
#include "functions.hpp"
#include "duckdb/common/types/vector.hpp"

namespace hyprstream {

//! A prompt's text: pieces[0], the value of fields[0], pieces[1], …
struct RenderTemplate {
	vector<string> pieces;
	vector<idx_t> fields; //! positions in the struct
};

struct RenderBind : public FunctionData {
	uint64_t env = 0;
	child_list_t<LogicalType> fields;
	unique_ptr<FunctionData> Copy() const override {
		return make_uniq<RenderBind>(*this);
	}
	bool Equals(const FunctionData &o) const override {
		auto &other = o.Cast<RenderBind>();
		return env == other.env && fields == other.fields;
	}
	//! The current text of a prompt, as these fields fill it. Throws for a name that is not there, and
	//! for a placeholder without a field.
	RenderTemplate Find(const string &name) const;
};

RenderTemplate RenderBind::Find(const string &name) const {
	char *err = nullptr;
	size_t size = 0;
	auto packed = goHsTemplate(env, {name.data(), name.size()}, &size, &err);
	if (!packed) {
		string s(err);
		free(err);
		Throw(s);
	}
	RenderTemplate r;
	vector<string> parts;
	for (size_t at = 0; at < size;) {
		uint32_t n;
		memcpy(&n, packed + at, sizeof(n));
		parts.emplace_back(packed + at + sizeof(n), n);
		at += sizeof(n) + n;
	}
	free(packed);
	for (idx_t i = 0; i < parts.size(); i++) {
		if (i % 2 == 0) {
			r.pieces.push_back(std::move(parts[i]));
			continue;
		}
		idx_t f = 0;
		while (f < fields.size() && !StringUtil::CIEquals(fields[f].first, parts[i])) {
			f++;
		}
		if (f == fields.size()) {
			string have;
			for (auto &c : fields) {
				have += (have.empty() ? "" : ", ") + c.first;
			}
			Throw("[INVALID_ARGUMENT] render: prompt \"" + name + "\" has a placeholder {{" + parts[i] +
			      "}} for which there is no field; the fields are " + have);
		}
		r.fields.push_back(f);
	}
	return r;
}

//! The templates that a thread of a statement has met.
struct RenderState : public FunctionLocalState {
	unordered_map<string, RenderTemplate> met;
	const RenderTemplate &Find(const RenderBind &bind, const string &name) {
		static constexpr idx_t MOST = 256; // names may come from a column
		auto it = met.find(name);
		if (it != met.end()) {
			return it->second;
		}
		if (met.size() >= MOST) {
			met.clear();
		}
		return met.emplace(name, bind.Find(name)).first->second;
	}
};

//! Row r of the values in a template; false where one of them is NULL.
static bool RenderRow(const RenderTemplate &t, const vector<UnifiedVectorFormat> &values, idx_t r, string &out) {
	out = t.pieces[0];
	for (idx_t i = 0; i < t.fields.size(); i++) {
		auto &v = values[t.fields[i]];
		auto ix = v.sel->get_index(r);
		if (!v.validity.RowIsValid(ix)) {
			return false;
		}
		auto &s = UnifiedVectorFormat::GetData<string_t>(v)[ix];
		out.append(s.GetData(), s.GetSize());
		out += t.pieces[i + 1];
	}
	return true;
}

static void RenderExec(DataChunk &args, ExpressionState &state, Vector &result) {
	auto &bind = state.expr.Cast<BoundFunctionExpression>().bind_info->Cast<RenderBind>();
	auto &local = ExecuteFunctionState::GetFunctionState(state)->Cast<RenderState>();
	bool constant = args.AllConstant();
	idx_t count = constant ? 1 : args.size();
	UnifiedVectorFormat names;
	args.data[0].ToUnifiedFormat(count, names);
	args.data[1].Flatten(count); // a struct's children are as its rows then
	auto &whole = FlatVector::Validity(args.data[1]);
	auto &children = StructVector::GetEntries(args.data[1]);
	vector<UnifiedVectorFormat> values(children.size());
	for (idx_t i = 0; i < children.size(); i++) {
		children[i]->ToUnifiedFormat(count, values[i]);
	}
	result.SetVectorType(VectorType::FLAT_VECTOR);
	auto data = FlatVector::GetData<string_t>(result);
	string name, out;
	const RenderTemplate *found = nullptr; // of name
	for (idx_t r = 0; r < count; r++) {
		auto ix = names.sel->get_index(r);
		if (!names.validity.RowIsValid(ix) || !whole.RowIsValid(r)) {
			FlatVector::SetNull(result, r, true);
			continue;
		}
		auto &n = UnifiedVectorFormat::GetData<string_t>(names)[ix];
		if (!found || n.GetSize() != name.size() || memcmp(n.GetData(), name.data(), name.size()) != 0) {
			name = n.GetString();
			found = &local.Find(bind, name);
		}
		if (RenderRow(*found, values, r, out)) {
			data[r] = StringVector::AddString(result, out);
		} else {
			FlatVector::SetNull(result, r, true);
		}
	}
	if (constant) {
		result.SetVectorType(VectorType::CONSTANT_VECTOR);
	}
}

static unique_ptr<FunctionData> BindRender(ClientContext &context, ScalarFunction &function,
                                           vector<unique_ptr<Expression>> &arguments) {
	auto r = make_uniq<RenderBind>();
	r->env = EnvOf(context);
	auto &name = arguments[0];
	name = BoundCastExpression::AddCastToType(context, std::move(name), Fit("render", "prompt", LogicalType::VARCHAR, name->return_type));
	auto &type = arguments[1]->return_type;
	if (type.id() == LogicalTypeId::UNKNOWN) {
		throw ParameterNotResolvedException();
	}
	bool null = type.id() == LogicalTypeId::SQLNULL;
	if (!null && (type.id() != LogicalTypeId::STRUCT || StructType::IsUnnamed(type))) {
		throw BinderException("[INVALID_ARGUMENT] render: fields must be a STRUCT with names, such as {'body': body}, not %s",
		                      type.ToString());
	}
	for (idx_t i = 0; !null && i < StructType::GetChildCount(type); i++) {
		r->fields.emplace_back(StructType::GetChildName(type, i), LogicalType(LogicalTypeId::VARCHAR));
	}
	if (name->IsFoldable() && !name->HasParameter()) {
		auto v = ExpressionExecutor::EvaluateScalar(context, *name);
		if (!v.IsNull() && !null) {
			r->Find(StringValue::Get(v));
		}
	}
	auto texts = null ? LogicalType::STRUCT({{"none", LogicalType(LogicalTypeId::VARCHAR)}}) : LogicalType::STRUCT(r->fields);
	arguments[1] = BoundCastExpression::AddCastToType(context, std::move(arguments[1]), texts);
	function.arguments = {LogicalType::VARCHAR, texts};
	return std::move(r);
}

ScalarFunction MakeRender() {
	ScalarFunction f("render", {LogicalType::ANY, LogicalType::ANY}, LogicalType::VARCHAR, RenderExec);
	f.SetBindCallback(BindRender);
	f.SetInitStateCallback([](ExpressionState &, const BoundFunctionExpression &, FunctionData *) -> unique_ptr<FunctionLocalState> {
		return make_uniq<RenderState>();
	});
	// A prepared statement is bound anew each time, and follows a prompt that was replaced.
	f.SetStability(FunctionStability::CONSISTENT_WITHIN_QUERY);
	f.SetFallible();
	f.SetNullHandling(FunctionNullHandling::SPECIAL_HANDLING);
	return f;
}
} // namespace hyprstream
