// ai_estimate: a SELECT is planned within the caller's statement and run with its
// calls only counted; they answer NULL.
#pragma once
#include "inference.hpp"
#include "stream.hpp"
#include "duckdb/function/lambda_functions.hpp"
#include "duckdb/parser/parser.hpp"
#include "duckdb/parser/statement/select_statement.hpp"
#include "duckdb/planner/binder.hpp"
#include "duckdb/planner/column_binding_map.hpp"
#include "duckdb/planner/expression/bound_columnref_expression.hpp"
#include "duckdb/planner/expression_iterator.hpp"
#include "duckdb/planner/logical_operator_visitor.hpp"

namespace hyprstream {

//! Takes all its child's rows and then gives the estimate's.
class PhysicalEstimate : public PhysicalStream {
public:
	using PhysicalStream::PhysicalStream;

	InsertionOrderPreservingMap<string> ExtraSourceParams(GlobalSourceState &, LocalSourceState &) const override {
		return InsertionOrderPreservingMap<string>(); // it costs nothing
	}
	bool IsSink() const override {
		return true;
	}
	bool ParallelSink() const override {
		return true;
	}
	SinkResultType Sink(ExecutionContext &, DataChunk &, OperatorSinkInput &) const override {
		return SinkResultType::NEED_MORE_INPUT;
	}
};

//! Its expressions refer to all that the SELECT gives, so that nothing of it is left out.
struct LogicalEstimate : public LogicalStream {
	uint16_t fn = 0;
	bool marked = false;   //! the calls below know that they are to be counted
	bool complete = false; //! none of them depends on another's answer

	//! One of its statement's estimates; never 0.
	uint64_t Id() const {
		return table_index + 1;
	}
	PhysicalOperator &CreatePlan(ClientContext &, PhysicalPlanGenerator &planner) override {
		if (!marked) {
			throw BinderException("[UNSUPPORTED] ai_estimate needs DuckDB's optimizer, which is disabled");
		}
		RequestWriter w(fn);
		w.Add(Value(complete ? "true" : "false"));
		auto &child = planner.CreatePlan(*children[0]);
		auto &op = planner.Make<PhysicalEstimate>(types, name, w.out);
		op.Cast<PhysicalEstimate>().estimate = Id();
		op.children.push_back(child);
		return op;
	}
};

//===-------------------------------------------------------------- bind
//! sql as the SELECT that the table function name takes.
static unique_ptr<SQLStatement> OneSelect(ClientContext &context, const string &name, const string &sql) {
	Parser parser(context.GetParserOptions());
	parser.ParseQuery(sql);
	if (parser.statements.size() != 1 || parser.statements[0]->type != StatementType::SELECT_STATEMENT) {
		throw BinderException("[INVALID_ARGUMENT] %s takes the text of one SELECT; of a statement that changes "
		                      "something, give the SELECT in it", name);
	}
	if (!parser.statements[0]->named_param_map.empty()) {
		throw BinderException("[INVALID_ARGUMENT] the SELECT given to %s has parameters; put values in their places", name);
	}
	return std::move(parser.statements[0]);
}

unique_ptr<LogicalOperator> BindEstimate(ClientContext &context, TableFunctionBindInput &input, idx_t bind_index,
                                         vector<string> &return_names) {
	auto &spec = input.info->Cast<StreamInfo>().spec;
	auto value = input.inputs.empty() ? input.named_parameters[spec.args[0]] : input.inputs[0];
	if (value.IsNull()) {
		throw BinderException("[INVALID_ARGUMENT] ai_estimate takes the text of one SELECT, not NULL");
	}
	auto select = OneSelect(context, spec.name, StringValue::Get(value));
	// As a view's: what the statement around it names is not seen.
	auto binder = Binder::CreateBinder(context, input.binder, BinderType::VIEW_BINDER);
	struct Binding {
		bool before = binding_estimate;
		Binding() {
			binding_estimate = true;
		}
		~Binding() {
			binding_estimate = before;
		}
	};
	BoundStatement bound;
	{
		Binding now;
		bound = binder->Bind(*select);
	}
	bound.plan->ResolveOperatorTypes();
	auto op = make_uniq<LogicalEstimate>();
	op->fn = spec.fn;
	op->table_index = bind_index;
	op->name = StringUtil::Upper(spec.name);
	op->column_types = spec.column_types;
	auto columns = bound.plan->GetColumnBindings();
	for (idx_t i = 0; i < columns.size(); i++) {
		op->expressions.push_back(make_uniq<BoundColumnRefExpression>(bound.plan->types[i], columns[i]));
	}
	op->children.push_back(std::move(bound.plan));
	return_names = spec.column_names;
	return std::move(op);
}

//===-------------------------------------------------------------- which calls depend on answers
//! f gets e and all in it, also what lambdas compute.
template <class F>
static void EachExpression(Expression &e, F f) {
	f(e);
	if (e.GetExpressionClass() == ExpressionClass::BOUND_FUNCTION) {
		auto lambda = dynamic_cast<ListLambdaBindData *>(e.Cast<BoundFunctionExpression>().bind_info.get());
		if (lambda && lambda->lambda_expr) {
			EachExpression(*lambda->lambda_expr, f);
		}
	}
	ExpressionIterator::EnumerateChildren(e, [&](Expression &c) { EachExpression(c, f); });
}

//! Follows answers through a plan, and says whether something that costs depends on one.
class Dependence {
public:
	bool complete = true;

	//! What of an operator's output depends on answers.
	struct Taint {
		column_binding_set_t columns;
		bool rows = false; //! which rows there are
	};

	Taint Visit(LogicalOperator &op) {
		Taint in;
		for (auto &c : op.children) {
			auto t = Visit(*c);
			in.columns.insert(t.columns.begin(), t.columns.end());
			in.rows = in.rows || t.rows;
		}
		bool uses = false;
		LogicalOperatorVisitor::EnumerateExpressions(op, [&](unique_ptr<Expression> *e) { uses = Depends(**e, in) || uses; });
		if (auto inference = dynamic_cast<LogicalInference *>(&op)) {
			return Answers(*inference, in, uses);
		}
		if (dynamic_cast<LogicalEstimate *>(&op)) {
			return Taint(); // numbers that are there
		}
		switch (op.type) {
		case LogicalOperatorType::LOGICAL_PROJECTION:
			return Projected(op, in);
		case LogicalOperatorType::LOGICAL_CTE_REF:
		case LogicalOperatorType::LOGICAL_DELIM_GET:
			in.rows = uses = answers;
			break;
		case LogicalOperatorType::LOGICAL_LIMIT:
		case LogicalOperatorType::LOGICAL_TOP_N:
			complete = complete && !in.rows; // it may end the work early
			break;
		case LogicalOperatorType::LOGICAL_EXTENSION_OPERATOR:
			uses = answers = true; // a table function of ours
			break;
		default:
			break;
		}
		in.rows = in.rows || uses;
		return Passed(op, in, uses);
	}

private:
	bool answers = false; //! an operator with answers was seen

	static bool Costs(const Expression &e) {
		auto spec = IsCall(e);
		return spec && !spec->free;
	}
	//! e refers to an answer, or is a call itself.
	bool Depends(Expression &e, const Taint &in) {
		bool refers = false, calls = false;
		EachExpression(e, [&](Expression &x) {
			refers = refers || (x.GetExpressionClass() == ExpressionClass::BOUND_COLUMN_REF &&
			                    in.columns.count(x.Cast<BoundColumnRefExpression>().binding));
			calls = calls || Costs(x);
		});
		answers = answers || calls;
		complete = complete && !(calls && (refers || in.rows || Nested(e)));
		return refers || calls;
	}
	//! A call in e has another in its arguments.
	static bool Nested(Expression &e) {
		idx_t calls = 0;
		EachExpression(e, [&](Expression &x) { calls += Costs(x) ? 1 : 0; });
		return calls > 1;
	}
	Taint Answers(LogicalInference &op, Taint &in, bool uses) {
		for (auto &f : op.forced) {
			uses = uses || in.columns.count(f);
			in.columns.insert(f);
		}
		complete = complete && !uses && !in.rows;
		answers = true;
		for (idx_t i = 0; i < op.expressions.size(); i++) {
			in.columns.insert(ColumnBinding(op.table_index, i));
		}
		return in;
	}
	Taint Projected(LogicalOperator &op, const Taint &in) {
		Taint out;
		out.rows = in.rows;
		auto columns = op.GetColumnBindings();
		for (idx_t i = 0; i < columns.size(); i++) {
			if (Depends(*op.expressions[i], in)) {
				out.columns.insert(columns[i]);
			}
		}
		return out;
	}
	//! Columns that pass are what they were; new ones may be made of any.
	static Taint Passed(LogicalOperator &op, const Taint &in, bool uses) {
		Taint out;
		out.rows = in.rows;
		column_binding_set_t below;
		for (auto &c : op.children) {
			for (auto &b : c->GetColumnBindings()) {
				below.insert(b);
			}
		}
		for (auto &b : op.GetColumnBindings()) {
			bool made = !below.count(b) && (uses || !in.columns.empty());
			if (made || in.columns.count(b)) {
				out.columns.insert(b);
			}
		}
		return out;
	}
};

//===-------------------------------------------------------------- after the rewrite
//! Tells what costs for which estimate it is to be counted (0: none), and EXPLAIN
//! which calls were not lifted.
static void Mark(LogicalOperator &op, uint64_t estimate) {
	if (auto e = dynamic_cast<LogicalEstimate *>(&op)) {
		Dependence d;
		d.Visit(*e->children[0]);
		e->complete = d.complete;
		e->marked = true;
		estimate = e->Id();
	} else if (auto s = dynamic_cast<LogicalStream *>(&op)) {
		s->estimate = estimate;
	} else if (auto i = dynamic_cast<LogicalInference *>(&op)) {
		i->estimate = estimate;
	}
	LogicalOperatorVisitor::EnumerateExpressions(op, [&](unique_ptr<Expression> *e) {
		EachExpression(**e, [&](Expression &x) {
			if (auto spec = IsCall(x)) {
				x.Cast<BoundFunctionExpression>().bind_info->Cast<CallBindData>().estimate = spec->free ? 0 : estimate;
				NameInPlace(x);
			}
		});
	});
	for (auto &c : op.children) {
		Mark(*c, estimate);
	}
}
} // namespace hyprstream
