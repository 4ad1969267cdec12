import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Properties;

/** Runs checks, each on a connection of its own and printed as a line, and has what they share. */
abstract class Checks {
    interface Check {
        void run(Connection con) throws Exception;
    }

    static int failed = 0;
    static String url;

    static void check(String name, Check check) {
        long start = System.nanoTime();
        try (Connection con = connect()) {
            check.run(con);
            System.out.printf("ok    %s (%d ms)%n", name, (System.nanoTime() - start) / 1_000_000);
        } catch (Throwable t) {
            failed++;
            System.out.println("FAIL  " + name);
            t.printStackTrace(System.out);
        }
        System.out.flush();
    }

    static void lacks(String name, String words, Check check) {
        try (Connection con = connect()) {
            try {
                check.run(con);
            } catch (SQLException | RuntimeException | AssertionError e) {
                holds(String.valueOf(e).contains(words), "want " + words + ", have " + e);
                System.out.printf("xfail driver: %s (%s)%n", name, String.valueOf(e).split("\n")[0]);
                return;
            }
            failed++;
            System.out.printf("FAIL  driver: %s: it works now, make it a check%n", name);
        } catch (Exception | AssertionError e) {
            failed++;
            System.out.println("FAIL  driver: " + name);
            e.printStackTrace(System.out);
        }
        System.out.flush();
    }

    static Connection connect(String... more) throws SQLException {
        Properties properties = new Properties();
        properties.put("useEncryption", "false");
        for (int i = 0; i < more.length; i += 2) {
            properties.put(more[i], more[i + 1]);
        }
        return DriverManager.getConnection(url, properties);
    }

    static void equal(Object want, Object have) {
        if (!Objects.equals(want, have)) {
            throw new AssertionError("want " + want + ", have " + have);
        }
    }

    static void holds(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }

    static List<String> names(ResultSet rows, String column) throws SQLException {
        try (rows) {
            List<String> values = new ArrayList<>();
            while (rows.next()) {
                values.add(rows.getString(column));
            }
            return values;
        }
    }

    static int rows(ResultSet result) throws SQLException {
        try (result) {
            int n = 0;
            while (result.next()) {
                n++;
            }
            return n;
        }
    }

    static String value(Connection con, String sql) throws SQLException {
        try (Statement st = con.createStatement(); ResultSet rows = st.executeQuery(sql)) {
            holds(rows.next(), "a row");
            return rows.getString(1);
        }
    }

    static void run(Connection con, String... statements) throws SQLException {
        try (Statement st = con.createStatement()) {
            for (String sql : statements) {
                st.execute(sql);
            }
        }
    }

    static List<String> labels(ResultSet rows) throws SQLException {
        ResultSetMetaData md = rows.getMetaData();
        List<String> labels = new ArrayList<>();
        for (int i = 1; i <= md.getColumnCount(); i++) {
            labels.add(md.getColumnLabel(i));
        }
        return labels;
    }

    static void makeTable(Connection con) throws SQLException {
        run(con, "DROP TABLE IF EXISTS jdbc_m_child", "DROP TABLE IF EXISTS jdbc_m",
            "CREATE TABLE jdbc_m (id BIGINT PRIMARY KEY, name VARCHAR NOT NULL DEFAULT 'none', price DECIMAL(12, 3), ok BOOLEAN, small TINYINT,"
            + " ratio DOUBLE, day DATE, clock TIME, made TIMESTAMP, zoned TIMESTAMPTZ, body BLOB, tags VARCHAR[], v FLOAT[3], part STRUCT(a INTEGER), code UUID)",
            "COMMENT ON COLUMN jdbc_m.name IS 'what it is called'",
            "CREATE TABLE jdbc_m_child (id INTEGER PRIMARY KEY, parent BIGINT REFERENCES jdbc_m (id), UNIQUE (parent))");
    }
}
